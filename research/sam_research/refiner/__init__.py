"""How the refiner that ships is trained: windows of scenes, the model's answers on them, recipe and training."""
