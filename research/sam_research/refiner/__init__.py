"""How the refiner is trained: windows of scenes, spoiled masks, simulated clicks, the training and its export."""
