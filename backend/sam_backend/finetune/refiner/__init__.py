"""The training of the refiner: windows, spoiled masks, chains of simulated clicks, and a head for a project."""
