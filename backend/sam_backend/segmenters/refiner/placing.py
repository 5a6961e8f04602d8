"""Where the refiner looks: around a mask and its clicks or, along something thin, at the scale that it needs."""

from __future__ import annotations

import math

import cv2
import numpy as np

from sam_backend.arrays import BoolArray, FloatArray
from sam_backend.masks import mask_box
from sam_backend.segmenters.refiner.guidance import WINDOW
from sam_backend.segmenters.refiner.resampling import Square

CONTEXT = 1.5
"""Side of a window, as a multiple of the longer side of what it surrounds."""

LEAST_SIDE = 48.0
"""Least side of a window in pixels of the image: enlarging fewer shows nothing new."""

THINNEST = 8.0
"""Pixels of a window that the thickness of a long thin mask keeps."""

_NARROWEST = 64.0
_UNKNOWN_SIDE = 160.0
_NEIGHBOURHOOD = 400
_STEPS = 4
_CELLS = 16


def place(
    mask: BoolArray, box: tuple[int, int, int, int] | None, points: FloatArray, focus: FloatArray | None
) -> Square:
    """Return the window in which a mask is corrected.

    It surrounds the mask and all clicks, unless the mask would become too thin in it: then it is as large as the mask's
    thickness allows, around `focus`. Side and position are in steps, so that a mask that changes a little is seen in
    the same window again.

    Parameters
    ----------
    mask : bool (H, W), may be empty.
    box : xyxy of the mask, or of what surrounds it; None for an empty mask.
    points : (N, 2) xy in pixels of the image, the clicks.
    focus : (2,) xy, the last click or where the mask goes on; None for the middle of the mask.
    """
    corners = [*points, *(points + 1)]
    if box is not None:
        corners += [np.array(box[:2], np.float32), np.array(box[2:], np.float32)]
    spots = np.array(corners or [(0, 0), mask.shape[::-1]], np.float32)
    low, high = spots.min(0), spots.max(0)
    side = max(float((high - low).max()) * CONTEXT, LEAST_SIDE)
    most = _UNKNOWN_SIDE if box is None else max(WINDOW * _thickness_near(mask, box, focus) / THINNEST, _NARROWEST)
    centre = (low + high) / 2
    if box is None:
        side = max(side, _UNKNOWN_SIDE)
    steps = math.ceil(_STEPS * math.log2(side / LEAST_SIDE) - 1e-6)
    if side > most and box is not None:
        steps = math.floor(_STEPS * math.log2(most / LEAST_SIDE))
        centre = centre if focus is None else focus
    return _stepped(centre, LEAST_SIDE * 2 ** (steps / _STEPS), mask.shape)


def _thickness_near(mask: BoolArray, box: tuple[int, int, int, int], focus: FloatArray | None) -> float:
    """Return the thickness around a point or, if nothing is there, of the whole mask."""
    if focus is not None and max(box[2] - box[0], box[3] - box[1]) > _NEIGHBOURHOOD:
        x, y = focus.astype(int).tolist()
        half = _NEIGHBOURHOOD // 2
        near = thickness(mask[max(0, y - half) : y + half, max(0, x - half) : x + half])
        if near:
            return near
    return thickness(mask[box[1] : box[3], box[0] : box[2]])


def thickness(mask: BoolArray) -> float:
    """Return how thick a mask (H, W) is in pixels: twice its area over its perimeter, the width of a long thin one.

    Holes count as border. The steps of a border are counted and taken times pi / 4, the mean over all directions, so
    that a line along the axes comes out a quarter too thick. Returns 0 for an empty mask.

    Examples
    --------
    >>> line = np.zeros((20, 200), bool)
    >>> line[10:12, 20:180] = True
    >>> round(thickness(line), 2)
    2.52
    """
    box = mask_box(mask)
    if box is None:
        return 0.0
    part = np.ascontiguousarray(mask[box[1] : box[3], box[0] : box[2]]).view(np.uint8)
    padded = cv2.copyMakeBorder(part, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    steps = int(np.count_nonzero(np.diff(padded, axis=0))) + int(np.count_nonzero(np.diff(padded, axis=1)))
    return 2 * int(part.sum()) / (steps * math.pi / 4)


def _stepped(centre: FloatArray, side: float, shape: tuple[int, ...]) -> Square:
    cell = side / _CELLS
    corner: list[float] = []
    for middle, length in zip(centre.tolist(), shape[::-1], strict=True):
        low = round((middle - side / 2) / cell) * cell
        corner.append((length - side) / 2 if side >= length else min(max(low, 0.0), length - side))
    return Square(corner[0], corner[1], side)
