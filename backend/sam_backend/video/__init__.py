"""Objects followed through the frames of a video: reading, following, and what is made of the tracks."""
