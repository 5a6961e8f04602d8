"""Simulated annotators for training: clicks, jittered boxes, correcting clicks, as SAM had (arXiv 2304.02643)."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
Point = tuple[float, float]


def _deepest(mask: Mask) -> Point:
    """Return the pixel (x, y) farthest from the border of `mask`; the image's edge counts as border."""
    padded = np.pad(mask.astype(np.uint8), 1)
    distance = cv2.distanceTransform(padded, cv2.DIST_L2, 5)[1:-1, 1:-1]
    y, x = np.unravel_index(int(np.argmax(distance)), distance.shape)
    return float(x), float(y)


def _any_pixel(rng: Generator, mask: Mask) -> Point:
    rows, columns = np.nonzero(mask)
    pick = int(rng.integers(len(rows)))
    return float(columns[pick]), float(rows[pick])


def first_click(rng: Generator, mask: Mask) -> Point:
    """Return a click (x, y) on `mask`: half in its centre, half anywhere on it."""
    return _deepest(mask) if rng.random() < 0.5 else _any_pixel(rng, mask)


def jittered_box(
    rng: Generator, mask: Mask, share: float = 0.1, most: float = 20.0
) -> tuple[float, float, float, float]:
    """Return the tight box xyxy (half-open) of `mask`, each side moved by a normal error.

    Its deviation is `share` of the side's length; `most` pixels are the limit. Half of the boxes stay tight within a
    pixel: annotators and detectors draw both kinds.
    """
    x, y, width, height = cv2.boundingRect(mask.astype(np.uint8))
    deviation = np.array([width, height, width, height]) * share
    if rng.random() < 0.5:
        deviation = np.minimum(deviation, 0.7)
    noise = np.clip(rng.normal(0, 1, 4) * deviation, -most, most)
    x0, y0, x1, y1 = np.array([x, y, x + width, y + height]) + noise
    rows, columns = mask.shape
    x0, x1 = np.clip([x0, x1], 0, columns)
    y0, y1 = np.clip([y0, y1], 0, rows)
    if x1 - x0 < 1 or y1 - y0 < 1:
        return float(x), float(y), float(x + width), float(y + height)
    return float(x0), float(y0), float(x1), float(y1)


def correcting_click(rng: Generator, mask: Mask, prediction: Mask) -> tuple[Point, int]:
    """Return the next click (x, y) and its label: in the largest wrong region, positive (1) where something is missing.

    Half of the clicks are in the region's centre, half anywhere in it. A perfect prediction is confirmed by a click.
    """
    wrong = mask ^ prediction
    if not wrong.any():
        return first_click(rng, mask), 1
    count, labels, stats, _ = cv2.connectedComponentsWithStats(wrong.astype(np.uint8), connectivity=8)
    largest = 1 + int(np.argmax(stats[1:count, cv2.CC_STAT_AREA]))
    region = labels == largest
    x, y = _deepest(region) if rng.random() < 0.5 else _any_pixel(rng, region)
    return (x, y), int(mask[int(y), int(x)])
