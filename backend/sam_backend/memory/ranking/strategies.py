"""Strategies: orders in which to label images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sam_backend.arrays import FloatArray
from sam_backend.errors import BadRequestError
from sam_backend.memory.ranking.signals import Signals
from sam_backend.names import did_you_mean

DEFAULT = "gain"


class Strategy(Protocol):
    """An order of images."""

    def __call__(self, images: Sequence[Signals], labelled: FloatArray, random: np.random.Generator) -> list[int]:
        """Return the indices of all images, the one to label next first.

        Parameters
        ----------
        images : Signals of the unlabelled images, at least one.
        labelled : float32 (L, D), descriptors of the labelled images; L may be 0.
        random : Generator, the only source of randomness.
        """


def by_chance(images: Sequence[Signals], labelled: FloatArray, random: np.random.Generator) -> list[int]:
    """Return a random order, the baseline of all strategies."""
    order: list[int] = random.permutation(len(images)).tolist()
    return order


def by_uncertainty(images: Sequence[Signals], labelled: FloatArray, random: np.random.Generator) -> list[int]:
    """Return the most uncertain image first."""
    return sorted(range(len(images)), key=lambda index: -images[index].uncertainty)


def by_diversity(images: Sequence[Signals], labelled: FloatArray, random: np.random.Generator) -> list[int]:
    """Return, one after the other, the image farthest from all labelled and all chosen images.

    References
    ----------
    Sener and Savarese, Active learning for convolutional neural networks: a core-set approach, ICLR 2018: greedy
    k-centre.
    """
    return _farthest(images, labelled, np.ones(len(images)))


def by_gain(images: Sequence[Signals], labelled: FloatArray, random: np.random.Generator) -> list[int]:
    """Return, one after the other, the image with the largest product of uncertainty and distance (`by_diversity`)."""
    return _farthest(images, labelled, np.array([0.05 + image.uncertainty for image in images]))


_STRATEGIES: dict[str, Strategy] = {
    DEFAULT: by_gain,
    "uncertainty": by_uncertainty,
    "diversity": by_diversity,
    "random": by_chance,
}


def known_strategies() -> list[str]:
    """Return the names of all strategies, the default first."""
    return list(_STRATEGIES)


def find_strategy(name: str) -> Strategy:
    """Return a strategy by its name.

    Raises
    ------
    BadRequestError
        If no strategy has this name.
    """
    if name not in _STRATEGIES:
        raise BadRequestError(
            f"There is no strategy {name!r}; known are {', '.join(_STRATEGIES)}{did_you_mean(name, _STRATEGIES)}"
        )
    return _STRATEGIES[name]


def _farthest(images: Sequence[Signals], labelled: FloatArray, weights: NDArray[np.float64]) -> list[int]:
    """Return the indices, greedily by weight times the distance to the nearest labelled or chosen image."""
    descriptors = np.stack([image.descriptor for image in images]).astype(np.float64)
    known = labelled.reshape(-1, descriptors.shape[1])
    scale = np.concatenate([descriptors, known]).std(0) + 1e-6
    descriptors, known = descriptors / scale, known / scale
    # Before anything is labelled, all images are as far as the farthest from the mean.
    far = float(np.linalg.norm(descriptors - descriptors.mean(0), axis=1).max()) + 1e-9
    nearest = np.full(len(descriptors), far)
    for descriptor in known:
        nearest = np.minimum(nearest, np.linalg.norm(descriptors - descriptor, axis=1))
    left, order = np.ones(len(descriptors), bool), []
    for _ in range(len(descriptors)):
        chosen = int(np.where(left, weights * (nearest + 1e-9), -1).argmax())
        order.append(chosen)
        left[chosen] = False
        nearest = np.minimum(nearest, np.linalg.norm(descriptors - descriptors[chosen], axis=1))
    return order
