"""From shares of classes at each pixel to regions: connected components, each with what its score depends on."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from sam_backend.arrays import FloatArray
from sam_backend.samples import Cropped

_REACH = 4
"""Pixels around a component whose shares count for its score."""

MOST_REGIONS = 200
"""Regions of an image; of more, those with the largest sum of shares are kept."""


@dataclass(frozen=True, eq=False)
class Region:
    """A connected component of a class.

    Attributes
    ----------
    index : int, the index of the class, from 0.
    shown : Cropped, its mask.
    score_features : float32 (2,): the log-odds of the IoU that the shares let expect, and the logarithm of the area.
    """

    index: int
    shown: Cropped
    score_features: FloatArray


def find_regions(shares: FloatArray, least_area: int) -> list[Region]:
    """Return the connected components (8 neighbours) of each class where it is the likeliest one.

    Parameters
    ----------
    shares : float32 (1 + K, H, W), the background first.
    least_area : int, pixels; smaller components are left out.
    """
    likeliest = shares.argmax(0)
    regions: list[tuple[float, Region]] = []
    for index in range(1, len(shares)):
        count, numbers, stats, _ = cv2.connectedComponentsWithStats((likeliest == index).astype(np.uint8))
        for number in range(1, count):
            left, top, width, height, area = stats[number].tolist()
            if area >= least_area:
                box = (left, top, left + width, top + height)
                region, strength = _region(shares[index], numbers, number, box, index - 1)
                regions.append((strength, region))
    return [region for _, region in sorted(regions, key=lambda pair: -pair[0])[:MOST_REGIONS]]


def _region(
    share: FloatArray, numbers: NDArray[np.int32], number: int, box: tuple[int, int, int, int], index: int
) -> tuple[Region, float]:
    left, top, right, bottom = box
    part = numbers[top:bottom, left:right] == number
    rows = slice(max(top - _REACH, 0), bottom + _REACH)
    columns = slice(max(left - _REACH, 0), right + _REACH)
    inside = numbers[rows, columns] == number
    near = cv2.dilate(inside.astype(np.uint8), np.ones((2 * _REACH + 1,) * 2, np.uint8)) > 0
    # Other components of the class are regions of their own.
    near &= (numbers[rows, columns] == 0) | inside
    values = share[rows, columns]
    agreed = float(values[inside].sum())
    expected = agreed / (int(inside.sum()) + float(values[near & ~inside].sum()))
    odds = np.clip(expected, 0.01, 0.99)
    features = np.array([np.log(odds / (1 - odds)), np.log(part.sum())], np.float32)
    return Region(index, Cropped(part, (top, left), share.shape), features), agreed
