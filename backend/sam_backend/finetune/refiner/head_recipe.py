"""The settings of tuning the refiner's head for a project. Needs no PyTorch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self


@dataclass(frozen=True)
class HeadRecipe:
    """The settings that decide the weights, together with the images and the weights before.

    Attributes
    ----------
    steps : int, the most steps.
    seconds : float, the most seconds of computing; a slow machine takes fewer steps.
    chains : int, objects that are corrected in a step.
    most_clicks : int, the longest chain of clicks; each step's length is drawn evenly from 1 on.
    learning_rate : float, the highest rate.
    warm_up : int, the steps in which the rate rises.
    clip : float, the largest norm of the gradient.
    average : float, the decay of the running average of the weights, which is what serves.
    seed : int.
    """

    steps: int = 120
    seconds: float = 240.0
    chains: int = 16
    most_clicks: int = 4
    learning_rate: float = 5e-4
    warm_up: int = 10
    clip: float = 4.0
    average: float = 0.95
    seed: int = 0

    @classmethod
    def of_seconds(cls, seconds: float, seed: int = 0) -> Self:
        """Return a longer or shorter recipe: its steps are in proportion to its seconds.

        Examples
        --------
        >>> HeadRecipe.of_seconds(480).steps
        240
        """
        usual = cls(seed=seed)
        return replace(usual, seconds=seconds, steps=max(1, round(usual.steps * seconds / usual.seconds)))
