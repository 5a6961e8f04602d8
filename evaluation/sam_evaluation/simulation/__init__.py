"""A simulated annotator with the loop on and off: what the loop saves. Nothing of the product depends on it."""
