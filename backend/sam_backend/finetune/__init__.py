"""Fine-tuning on accepted masks and the versions it makes. Nothing here measures: callers pass the gate in."""
