"""Freely licensed photographs, textures and cut-outs for training scenes: where they come from, fetched and read."""
