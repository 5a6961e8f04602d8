"""How a model learns: scenes, simulated prompts, losses, the trainer."""
