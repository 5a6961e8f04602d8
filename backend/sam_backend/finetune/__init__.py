"""Fine-tuning on accepted masks, the versions it makes, and the gate before them; only the gate measures."""
