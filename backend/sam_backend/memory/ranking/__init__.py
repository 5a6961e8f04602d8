"""What to label next: what an image would teach, and strategies that order images by it."""
