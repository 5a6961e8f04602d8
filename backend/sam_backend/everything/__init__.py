"""All that is on the images of a folder, as files; Label Studio is asked only for the labels of a project."""
