"""What to label next: signals of an unlabelled image, and strategies that order images by them."""
