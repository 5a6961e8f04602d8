"""Data sets: one module a format; each yields the same `Sample` with an image and its objects."""
