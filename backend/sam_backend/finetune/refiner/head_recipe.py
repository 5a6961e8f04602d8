"""The settings of tuning the refiner's head for a project. Needs no PyTorch."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Self

from sam_backend.finetune.refiner.tasks import TaskMix


@dataclass(frozen=True)
class HeadRecipe:
    """The settings that decide the weights, together with the images and the weights before.

    Attributes
    ----------
    steps : int, the most steps.
    seconds : float, the most seconds of computing; a slow machine takes fewer steps.
    windows : int, windows of a step.
    most_clicks : int, the longest chain of clicks; each chain's length is drawn evenly from 1 on.
    learning_rate : float, the highest rate.
    warm_up : int, the steps in which the rate rises.
    clip : float, the largest norm of the gradient.
    average : float, the decay of the running average of the weights, which is what serves.
    checks : int, how often the weights are measured on the validation images.
    patience : int, the checks without a better result after which it ends.
    seed : int.
    mix : TaskMix, what is drawn in a window.
    """

    steps: int = 80
    seconds: float = 90.0
    windows: int = 3
    most_clicks: int = 5
    learning_rate: float = 1e-4
    warm_up: int = 8
    clip: float = 4.0
    average: float = 0.95
    checks: int = 8
    patience: int = 4
    seed: int = 0
    mix: TaskMix = field(
        default_factory=lambda: TaskMix(
            tasks=3,
            local_share=0.15,
            thin_share=0.1,
            free_share=0.0,
            drawn_share=0.0,
            empty_share=0.06,
            answer_share=0.75,
            polish_share=0.1,
        )
    )

    @classmethod
    def of_seconds(cls, seconds: float, seed: int = 0) -> Self:
        """Return a longer or shorter recipe: its steps are in proportion to its seconds.

        Examples
        --------
        >>> HeadRecipe.of_seconds(180).steps
        160
        """
        usual = cls(seed=seed)
        return replace(usual, seconds=seconds, steps=max(1, round(usual.steps * seconds / usual.seconds)))
