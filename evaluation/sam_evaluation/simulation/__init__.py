"""Runs of a simulated annotator with the learning loop on and off, and their report; nothing of the product is here."""
