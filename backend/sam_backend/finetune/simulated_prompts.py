"""Prompts of simulated annotators for training, as in SAM (arXiv 2304.02643): clicks, jittered boxes, corrections."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.random import Generator

from sam_backend.arrays import BoolArray
from sam_backend.masks import deepest_point, mask_box

Point = tuple[float, float]


def _any_pixel(rng: Generator, mask: BoolArray) -> Point:
    rows, columns = np.nonzero(mask)
    pick = int(rng.integers(len(rows)))
    return float(columns[pick]), float(rows[pick])


def first_click(rng: Generator, mask: BoolArray) -> Point:
    """Return a click (x, y) on a mask bool (H, W): half of the time at its deepest point, else anywhere on it."""
    return deepest_point(mask) if rng.random() < 0.5 else _any_pixel(rng, mask)


def jittered_box(
    rng: Generator, mask: BoolArray, share: float = 0.1, most: float = 20.0
) -> tuple[float, float, float, float]:
    """Return the tight box of a mask, xyxy in pixels (half-open), with each side moved by a normal error.

    Half of the boxes stay tight within a pixel, because annotators and detectors draw both kinds.

    Parameters
    ----------
    rng : Generator.
    mask : bool (H, W), not empty.
    share : float, the standard deviation of the error, as a share of the side's length.
    most : float, the largest error in pixels.
    """
    tight = np.array(mask_box(mask), np.float64)
    deviation = np.tile(tight[2:] - tight[:2], 2) * share
    if rng.random() < 0.5:
        deviation = np.minimum(deviation, 0.7)
    noise = np.clip(rng.normal(0, 1, 4) * deviation, -most, most)
    x0, y0, x1, y1 = tight + noise
    rows, columns = mask.shape
    x0, x1 = np.clip([x0, x1], 0, columns)
    y0, y1 = np.clip([y0, y1], 0, rows)
    if x1 - x0 < 1 or y1 - y0 < 1:
        x0, y0, x1, y1 = tight
    return float(x0), float(y0), float(x1), float(y1)


def correcting_click(rng: Generator, mask: BoolArray, prediction: BoolArray) -> tuple[Point, int]:
    """Return a click (x, y) in the largest wrong region, and its label: 1 where the prediction misses the mask, else 0.

    Half of the clicks are at the region's deepest point, half anywhere in it. For a perfect prediction it is a first
    click.
    """
    wrong = mask ^ prediction
    if not wrong.any():
        return first_click(rng, mask), 1
    count, labels, stats, _ = cv2.connectedComponentsWithStats(wrong.astype(np.uint8), connectivity=8)
    largest = 1 + int(np.argmax(stats[1:count, cv2.CC_STAT_AREA]))
    region = labels == largest
    x, y = deepest_point(region) if rng.random() < 0.5 else _any_pixel(rng, region)
    return (x, y), int(mask[int(y), int(x)])
