"""From shares of classes at each pixel to regions: connected components, each with what its score depends on."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from sam_backend.arrays import FloatArray
from sam_backend.samples import Cropped

LEVELS = (0.2, 0.35, 0.5, 0.65, 0.8)
"""Shares of a class above which components are looked for: two objects may be one at a low level and two at a high."""

DEFAULT_WEIGHTS = (2.5, -3.25)
"""Slope and bias of a score before any is fitted; docs/decisions/024 tells from which images they are."""

_REACH = 4
"""Pixels around a component whose shares count for its score."""

MOST_REGIONS = 200
"""Regions of an image; of more, those with the highest scores are kept."""


@dataclass(frozen=True, eq=False)
class Region:
    """A connected component of a class.

    Attributes
    ----------
    index : int, the index of the class, from 0.
    shown : Cropped, its mask.
    odds : float, the log-odds of the IoU that the shares let expect.
    """

    index: int
    shown: Cropped
    odds: float


def score_of(odds: float, weights: tuple[float, float] = DEFAULT_WEIGHTS) -> float:
    """Return the probability that a region with these odds is correct, in [0, 1]; `weights` are slope and bias."""
    slope, bias = weights
    return float(1 / (1 + np.exp(-np.clip(slope * odds + bias, -30, 30))))


def find_regions(shares: FloatArray, least_area: int) -> list[Region]:
    """Return regions of each class, the highest score first; those of one class do not overlap.

    The components at the levels of a share lie in each other. Of a component and those inside it, the one is kept if
    its score is at least the sum of theirs, and they otherwise: this finds most objects.

    Parameters
    ----------
    shares : float32 (1 + K, H, W), the background first.
    least_area : int, pixels; smaller components (of 8 neighbours) are left out.
    """
    chosen = [
        pair for index in range(1, len(shares)) for pair in _regions_of_class(shares[index], index - 1, least_area)
    ]
    return [region for _, region in sorted(chosen, key=lambda pair: -pair[0])[:MOST_REGIONS]]


def _regions_of_class(share: FloatArray, index: int, least_area: int) -> list[tuple[float, Region]]:
    """Return the regions of a class with their scores."""
    # The number of a component at the present level -> the regions that are kept of what lies in it.
    inside: dict[int, list[tuple[float, Region]]] = {}
    for level in reversed(LEVELS):
        kept = inside
        _, numbers, stats, _ = cv2.connectedComponentsWithStats((share > level).astype(np.uint8))
        parents: dict[int, list[tuple[float, Region]]] = {}
        for pairs in kept.values():
            # Any pixel of what lies in a component tells its number.
            row, column = np.argwhere(pairs[0][1].shown.part)[0] + pairs[0][1].shown.corner
            parents.setdefault(int(numbers[row, column]), []).extend(pairs)
        inside = {}
        for number in np.flatnonzero(stats[:, cv2.CC_STAT_AREA] >= least_area).tolist():
            if number == 0:
                continue
            left, top, width, height, _ = stats[number].tolist()
            region = _region(share, numbers, number, (left, top, left + width, top + height), index)
            score, children = score_of(region.odds), parents.get(number, [])
            inside[number] = [(score, region)] if score >= sum(pair[0] for pair in children) else children
    return [pair for pairs in inside.values() for pair in pairs]


def _region(
    share: FloatArray, numbers: NDArray[np.int32], number: int, box: tuple[int, int, int, int], index: int
) -> Region:
    left, top, right, bottom = box
    part = numbers[top:bottom, left:right] == number
    rows = slice(max(top - _REACH, 0), bottom + _REACH)
    columns = slice(max(left - _REACH, 0), right + _REACH)
    inside = numbers[rows, columns] == number
    near = cv2.dilate(inside.astype(np.uint8), np.ones((2 * _REACH + 1,) * 2, np.uint8)) > 0
    # Other components of the class are regions of their own.
    near &= numbers[rows, columns] == 0
    values = share[rows, columns]
    expected = float(values[inside].sum()) / (int(inside.sum()) + float(values[near].sum()))
    certain = np.clip(expected, 0.01, 0.99)
    return Region(index, Cropped(part, (top, left), share.shape), float(np.log(certain / (1 - certain))))
