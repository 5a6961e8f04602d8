"""What the refiner sees beside the pixels: the last mask and all clicks, as maps of a window."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from sam_backend.arrays import BoolArray, FloatArray

WINDOW = 192
"""Side of the windows that the refiner sees, in its own pixels."""

MAPS = 5
"""Maps: probability, distance to the border, positive clicks, negative clicks, reach of the last click."""

_DISC = 4.0
_NEAR = 6.0
_REACH = (2.0, 64.0)


def guidance_maps(
    probability: FloatArray, points: FloatArray, labels: NDArray[np.integer], last: int | None
) -> FloatArray:
    """Return the maps (MAPS, S, S) float32 of a window.

    The reach of the last click is a bell around it, as wide as the click is far from the border of the last mask: a
    person clicks in the middle of what is wrong, so that this much around the click is probably wrong too.

    Parameters
    ----------
    probability : (S, S) float32 in [0, 1], of the last mask; all 0 where there is none.
    points : (N, 2) float, xy in pixels of the window; they may lie outside it.
    labels : (N,) 1 for positive, 0 for negative.
    last : index of the last click; None if it is not in this window.
    """
    side = len(probability)
    maps = np.zeros((MAPS, side, side), np.float32)
    maps[0] = probability
    distance = border_distance(probability > 0.5)
    maps[1] = np.tanh(distance / _NEAR)
    for (x, y), label in zip(points, labels, strict=True):
        if -_DISC < x < side + _DISC and -_DISC < y < side + _DISC:
            cv2.circle(
                maps[2 if label else 3],
                (round(16 * float(x)), round(16 * float(y))),
                round(16 * _DISC),
                1.0,
                -1,
                cv2.LINE_8,
                4,
            )
    if last is not None:
        x, y = (float(value) for value in points[last])
        row, column = (min(max(round(value), 0), side - 1) for value in (y, x))
        radius = min(max(abs(float(distance[row, column])), _REACH[0]), _REACH[1])
        across, along = (np.exp(-0.5 * ((np.arange(side, dtype=np.float32) - value) / radius) ** 2) for value in (x, y))
        np.multiply.outer(along, across, out=maps[4])
        if not labels[last]:
            maps[4] *= -1
    return maps


def border_distance(mask: BoolArray) -> FloatArray:
    """Return each pixel's distance to the border of a mask (S, S) in pixels, positive inside; -S for an empty mask."""
    inside = np.ascontiguousarray(mask).view(np.uint8)
    if not inside.any():
        return np.full(mask.shape, -float(len(mask)), np.float32)
    outside = cv2.distanceTransform(1 - inside, cv2.DIST_L2, cv2.DIST_MASK_3)
    signed: FloatArray = cv2.distanceTransform(inside, cv2.DIST_L2, cv2.DIST_MASK_3) - outside
    return signed
