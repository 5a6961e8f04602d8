"""How the refiners of projects are called. Needs no PyTorch."""

REFINER = "refiner:"
"""With what the names of projects' refiners begin among the models that have versions."""

SIMULATED = f"{REFINER}simulated"
"""The name of the refiner of a simulated project."""
