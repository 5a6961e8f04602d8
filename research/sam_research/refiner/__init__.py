"""How the refiner that ships is trained: windows and tasks of scenes, chains of clicks, recipe and training."""
