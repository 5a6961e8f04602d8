"""Orders in which to label images. Other packages add theirs under the entry point group `sam_inspect.strategies`."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import entry_points
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sam_backend.arrays import FloatArray
from sam_backend.errors import BadRequestError
from sam_backend.memory.ranking.signals import Signals

GROUP = "sam_inspect.strategies"
DEFAULT = "gain"


class Strategy(Protocol):
    """An order of images."""

    def __call__(self, images: Sequence[Signals], labelled: FloatArray, random: np.random.Generator) -> list[int]:
        """Return the indices of all images, the one to label next first.

        Parameters
        ----------
        images : unlabelled, at least one.
        labelled : (L, D) looks of the images that are labelled already; L may be 0.
        random : all randomness comes from it.
        """


def by_chance(images: Sequence[Signals], labelled: FloatArray, random: np.random.Generator) -> list[int]:
    """Return a random order: what every other strategy has to beat."""
    order: list[int] = random.permutation(len(images)).tolist()
    return order


def by_uncertainty(images: Sequence[Signals], labelled: FloatArray, random: np.random.Generator) -> list[int]:
    """Return the least certain first."""
    return sorted(range(len(images)), key=lambda index: -images[index].uncertainty)


def by_diversity(images: Sequence[Signals], labelled: FloatArray, random: np.random.Generator) -> list[int]:
    """Return each time the image least like all that were labelled or chosen before.

    References
    ----------
    Sener and Savarese, Active learning for convolutional neural networks: a core-set approach, ICLR 2018: greedy
    k-centre.
    """
    return _farthest(images, labelled, np.ones(len(images)))


def by_gain(images: Sequence[Signals], labelled: FloatArray, random: np.random.Generator) -> list[int]:
    """Return each time the image that is most uncertain and least like those before: uncertainty times distance."""
    return _farthest(images, labelled, np.array([0.05 + image.uncertainty for image in images]))


_OWN: dict[str, Strategy] = {
    DEFAULT: by_gain,
    "uncertainty": by_uncertainty,
    "diversity": by_diversity,
    "random": by_chance,
}


def known_strategies() -> list[str]:
    """Return the names of all strategies, our own first."""
    return [*_OWN, *sorted(entry.name for entry in entry_points(group=GROUP) if entry.name not in _OWN)]


def find_strategy(name: str) -> Strategy:
    """Return a strategy by its name.

    Raises
    ------
    BadRequestError
        If there is none of this name.
    """
    if name in _OWN:
        return _OWN[name]
    for entry in entry_points(group=GROUP):
        if entry.name == name:
            strategy: Strategy = entry.load()
            return strategy
    raise BadRequestError(f"There is no strategy {name!r}; known are {', '.join(known_strategies())}.")


def _farthest(images: Sequence[Signals], labelled: FloatArray, worth: NDArray[np.float64]) -> list[int]:
    """Return the indices, greedily by worth times the distance to the nearest labelled or chosen image."""
    looks = np.stack([image.look for image in images]).astype(np.float64)
    everything = np.concatenate([looks, labelled.reshape(-1, looks.shape[1])])
    scale = everything.std(0) + 1e-6
    looks, before = looks / scale, labelled.reshape(-1, looks.shape[1]) / scale
    # Without anything labelled all are as far as the farthest from the middle.
    far = float(np.linalg.norm(looks - looks.mean(0), axis=1).max()) + 1e-9
    nearest = np.full(len(looks), far)
    for look in before:
        nearest = np.minimum(nearest, np.linalg.norm(looks - look, axis=1))
    left, order = np.ones(len(looks), bool), []
    for _ in range(len(looks)):
        chosen = int(np.where(left, worth * (nearest + 1e-9), -1).argmax())
        order.append(chosen)
        left[chosen] = False
        nearest = np.minimum(nearest, np.linalg.norm(looks - looks[chosen], axis=1))
    return order
