"""Simulated annotators: each shows a segmenter the objects of a sample, and yields its answers."""
