"""Measures how far SAM falls short on industrial images."""
