"""Everything that decides the weights of the refiner, apart from the scenes."""

from __future__ import annotations

import math
from dataclasses import dataclass

from numpy.random import Generator

from sam_backend.finetune.training_loop import Schedule
from sam_research.refiner.tasks import TaskMix
from sam_research.scenes.composition import COMPOSITIONS
from sam_research.scenes.regions import REGIONS
from sam_research.scenes.scene import SURFACES


@dataclass(frozen=True)
class Plateau(Schedule):
    """A learning rate that rises, stays, and falls at the end, so that a training can be made longer afterwards.

    Attributes
    ----------
    fall : int, the steps at the end in which the rate falls linearly to `floor`.
    """

    fall: int = 1

    def rate(self, highest: float, step: int) -> float:
        """Return the learning rate of a step.

        Examples
        --------
        >>> schedule = Plateau(steps=100, warm_up=10, floor=0.02, fall=50)
        >>> [round(schedule.rate(1.0, step), 2) for step in (0, 9, 50, 75, 100)]
        [0.1, 1.0, 1.0, 0.51, 0.02]
        """
        warm = min(1.0, (step + 1) / self.warm_up)
        left = min(1.0, max(self.steps - step, 0) / self.fall)
        return highest * warm * (self.floor + (1 - self.floor) * left)


@dataclass(frozen=True)
class RefinerRecipe(TaskMix):
    """How the refiner is trained, beside what is drawn in a window.

    Attributes
    ----------
    steps, fall, seed : int, the length of the training, its last part, and its seed.
    rate, backbone_rate : float, the highest learning rates of head and backbone.
    windows : int, windows in a batch.
    most_clicks : int, the longest chain of clicks; each chain's length is drawn evenly from 1 on.
    mixed, surfaces, compositions, regions : int, the numbers of scenes of each kind.
    shares : weights of the kinds, in this order.
    start : str, digest of the weights that the training starts from; "" for the backbone of `nano` alone.
    """

    steps: int = 4300
    fall: int = 600
    seed: int = 0
    rate: float = 1.5e-3
    backbone_rate: float = 1.5e-4
    windows: int = 5
    most_clicks: int = 5
    mixed: int = 1200
    surfaces: int = 3000
    compositions: int = 3500
    regions: int = 1300
    shares: tuple[float, float, float, float] = (0.12, 0.33, 0.38, 0.17)
    start: str = ""

    @property
    def schedule(self) -> Plateau:
        """The learning rate."""
        return Plateau(self.steps, 100, 0.02, self.fall)

    def numbers(self) -> list[int]:
        """Return the numbers of all scenes."""
        return [first + number for first, count in self._kinds() for number in range(count)]

    def scene_number(self, rng: Generator) -> int:
        """Return the number of a scene to train on."""
        kinds = self._kinds()
        kind = int(rng.choice(len(kinds), p=[share / math.fsum(self.shares) for share in self.shares]))
        first, count = kinds[kind]
        return first + int(rng.integers(count))

    def _kinds(self) -> list[tuple[int, int]]:
        """Return the first number and the count of each kind of scene."""
        firsts = (0, SURFACES, COMPOSITIONS, REGIONS)
        return list(zip(firsts, (self.mixed, self.surfaces, self.compositions, self.regions), strict=True))


FIRST = RefinerRecipe(steps=900, fall=1)
"""Short chains, so that the refiner learns soon what a click means."""

SECOND = RefinerRecipe(most_clicks=8, windows=4, drawn_share=0.6, thin_share=0.35)
"""On from there with long chains, whose last clicks are about fine differences, and along cracks and scratches."""
