"""The only code that knows Label Studio's JSON: label config, prompts in, regions out, images, servers."""
