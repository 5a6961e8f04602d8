"""Masks as a model or a hurried person leaves them, and targets as different people draw them."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.random import Generator

from sam_backend.arrays import BoolArray, FloatArray
from sam_backend.masks import mask_box
from sam_backend.segmenters.refiner.guidance import border_distance

_CELLS = (24, 32, 48, 64)
_NOISE_CELLS = 8
_DRAWN = (0.5, 0.15, 0.2, 0.15)
"""Shares of targets that are larger or smaller, smoother, in straight lines, and closed."""


def spoil(rng: Generator, target: BoolArray, others: Sequence[BoolArray]) -> BoolArray:
    """Return a wrong mask of a target: grown, shrunk, locally wrong, coarse, merged with another, a box, or empty.

    Parameters
    ----------
    rng : Generator.
    target : bool (S, S).
    others : masks bool (S, S) of what else is in the window, which a model could take for the target.
    """
    kind = rng.random()
    box = mask_box(target)
    if box is None or kind < 0.05:
        return np.zeros_like(target)
    if kind < 0.11:
        filled = np.zeros_like(target)
        filled[box[1] : box[3], box[0] : box[2]] = True
        return filled
    if kind < 0.22 and others:
        other = others[int(rng.integers(len(others)))]
        return target | other if rng.random() < 0.6 else other
    if kind < 0.32:
        return cut(rng, target)
    distance = border_distance(target)
    scale = max(2.0, float(np.sqrt(target.sum())))
    amplitude = rng.uniform(0.02, 0.5) * scale
    noise = _noise(rng, len(target))
    offset: FloatArray
    if rng.random() < 0.6:
        where = (noise > rng.uniform(0.2, 1.0)).astype(np.float32)
        offset = where * (2 * amplitude * float(rng.choice([-1, 1])))
        if rng.random() < 0.5:
            offset = offset + float(rng.normal() * 0.05 * scale)
    else:
        offset = noise * amplitude + float(rng.normal() * 0.1 * scale)
    mask: BoolArray = distance + offset > 0
    if rng.random() < 0.35:
        mask = _coarse(rng, mask)
    if rng.random() < 0.15:
        mask = mask | (_noise(rng, len(target)) > rng.uniform(1.3, 2.2))
    return mask


def cut(rng: Generator, target: BoolArray) -> BoolArray:
    """Return the part of a target on one side of a line, as an answer that ends half way along it."""
    rows, columns = np.nonzero(target)
    angle = rng.uniform(0, 2 * np.pi)
    along = np.cos(angle) * columns + np.sin(angle) * rows
    limit = np.quantile(along, rng.uniform(0.1, 0.9))
    kept = np.zeros_like(target)
    kept[rows[along <= limit], columns[along <= limit]] = True
    return kept


def as_drawn(rng: Generator, target: BoolArray) -> BoolArray:
    """Return a target as another person would draw it: larger, smaller, smoother, in straight lines, or closed.

    Annotators and data sets draw the same thing differently; only clicks and the last mask tell which way is meant.
    """
    kind = int(rng.choice(4, p=_DRAWN))
    mask = target.view(np.uint8)
    if kind == 0:
        offset = float(np.clip(rng.normal() * 0.1 * np.sqrt(target.sum()), -8, 8))
        drawn: BoolArray = border_distance(target) + offset > 0
    elif kind == 1:
        drawn = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), rng.uniform(1.5, 6)) > 0.5
    elif kind == 2:
        contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        lines = [cv2.approxPolyDP(contour, rng.uniform(1, 6), True) for contour in contours if len(contour) > 2]
        drawn = cv2.fillPoly(np.zeros_like(mask), lines, 1).view(np.bool_) if lines else target
    else:
        side = 2 * int(rng.integers(1, 9)) + 1
        kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
        drawn = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, kernel).view(np.bool_)
    return drawn if drawn.any() else target


def any_region(rng: Generator, side: int) -> BoolArray:
    """Return a region that follows nothing in the image, so that clicks alone tell it."""
    field = _noise(rng, side)
    mask = (field > rng.uniform(0.4, 1.2)).astype(np.uint8)
    _, labels = cv2.connectedComponents(mask)
    return np.asarray(labels == labels[np.unravel_index(int(np.argmax(field)), field.shape)])


def _noise(rng: Generator, side: int) -> FloatArray:
    cells = rng.normal(size=(_NOISE_CELLS, _NOISE_CELLS)).astype(np.float32)
    return np.asarray(cv2.resize(cells, (side, side), interpolation=cv2.INTER_CUBIC), np.float32)


def _coarse(rng: Generator, mask: BoolArray) -> BoolArray:
    cells = int(rng.choice(_CELLS))
    low = cv2.resize(mask.astype(np.float32), (cells, cells), interpolation=cv2.INTER_AREA)
    back = cv2.resize(low, mask.shape[::-1], interpolation=cv2.INTER_LINEAR)
    return np.asarray(back > rng.uniform(0.3, 0.6))
