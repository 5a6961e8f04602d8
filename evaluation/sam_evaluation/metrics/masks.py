"""What every metric does to its masks first: check that two of them fit, and cut away what is empty in both."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Mask = NDArray[np.bool_]


def as_pair(pred: ArrayLike, gt: ArrayLike) -> tuple[Mask, Mask]:
    """Return two masks as bool (H, W).

    Raises
    ------
    ValueError
        If they are no two-dimensional arrays of one shape.
    """
    first, second = np.asarray(pred, bool), np.asarray(gt, bool)
    if first.shape != second.shape or first.ndim != 2:
        raise ValueError(f"Masks to compare need one shape (H, W); got {first.shape} and {second.shape}.")
    return first, second


def box_of(*masks: Mask) -> tuple[slice, slice] | None:
    """Return rows and columns of the smallest box around all that is set in masks of one shape; None if nothing is."""
    found: list[tuple[int, int]] = []
    for axis in (1, 0):
        places = np.flatnonzero(np.logical_or.reduce([mask.any(axis) for mask in masks]))
        if not len(places):
            return None
        found.append((int(places[0]), int(places[-1]) + 1))
    return slice(*found[0]), slice(*found[1])
