"""How a window's answer enters the mask: what is near the click changes, and what was right far from it stays.

A mask that was wholly wrong changes everywhere in the window.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from sam_backend.arrays import BoolArray, FloatArray
from sam_backend.masks import mask_iou
from sam_backend.segmenters.protocol import POSITIVE
from sam_backend.segmenters.refiner.resampling import Square

Box = tuple[int, int, int, int]
"""xyxy in pixels of an image, half-open."""

_MARGIN = 5
"""Pixels of a window at its edges where its answer is not taken, since it does not see what is beyond."""

_WHOLLY_WRONG = 0.5
"""IoU with the answer below which a mask was so wrong that all of the answer is taken."""


@dataclass(frozen=True)
class Part:
    """The part of an image that a window shows.

    Attributes
    ----------
    box : xyxy in pixels of the image, half-open.
    inner : xyxy, the part of it where the window's answer is taken: not at edges beyond which the image goes on.
    """

    box: Box
    inner: Box

    @classmethod
    def of(cls, square: Square, shape: tuple[int, ...]) -> Part:
        """Return the part of an image of `shape` (H, W) that a window shows."""
        box: list[int] = []
        inner: list[int] = []
        margin = int(np.ceil(_MARGIN / square.scale))
        for corner, length in ((square.left, shape[1]), (square.top, shape[0])):
            low, high = max(0, int(np.ceil(corner))), min(length, int(np.floor(corner + square.side)))
            box += [low, high]
            inner += [low + margin * (low > 0), high - margin * (high < length)]
        return cls((box[0], box[2], box[1], box[3]), (inner[0], inner[2], inner[1], inner[3]))


def enclosing(one: Box, other: Box) -> Box:
    """Return the smallest box around two."""
    return min(one[0], other[0]), min(one[1], other[1]), max(one[2], other[2]), max(one[3], other[3])


def merge(
    mask: BoolArray,
    part: Part,
    logits: FloatArray,
    points: FloatArray,
    labels: NDArray[np.int64],
) -> FloatArray | None:
    """Let the answer of a window, logits at the pixels of `part.box`, change a mask (H, W).

    Returns
    -------
    ndarray or None
        (2,) xy float32, where what was added reaches the window's edge; None if it ends inside.
    """
    left, top, right, bottom = part.box
    before = mask[top:bottom, left:right]
    answer = logits > 0
    added = answer & ~before
    inside = np.zeros(answer.shape, bool)
    inner = np.array(part.inner) - np.array([left, top, left, top])
    inside[inner[1] : inner[3], inner[0] : inner[2]] = True
    changed = (answer != before) & inside
    if len(points) and mask_iou(answer, before) >= _WHOLLY_WRONG:
        changed = _near_click(changed, answer, points[-1] - np.array([left, top]), bool(labels[-1] == POSITIVE))
    before ^= changed
    return _edge(added & ~inside, before, left, top)


def _near_click(changed: BoolArray, answer: BoolArray, click: FloatArray, positive: bool) -> BoolArray:
    """Return the changes in the click's direction that touch it, and others in a narrow band around them."""
    wanted = changed & (answer == positive)
    _, pieces = cv2.connectedComponents(wanted.view(np.uint8), connectivity=8)
    x, y = int(click[0]), int(click[1])
    height, width = changed.shape
    if not (0 <= x < width and 0 <= y < height):
        return changed
    around = pieces[max(0, y - 2) : y + 3, max(0, x - 2) : x + 3]
    kept = np.isin(pieces, [piece for piece in np.unique(around).tolist() if piece])
    band = cv2.dilate(kept.view(np.uint8), np.ones((7, 7), np.uint8)).view(np.bool_)
    return changed & band if kept.any() else np.zeros_like(changed)


def _edge(beyond: BoolArray, mask: BoolArray, left: int, top: int) -> FloatArray | None:
    """Return the middle of the largest piece that was added in the margin of a window and touches the mask."""
    count, pieces, stats, centres = cv2.connectedComponentsWithStats(beyond.view(np.uint8), connectivity=8)
    if count < 2:
        return None
    touched = cv2.dilate(mask.view(np.uint8), np.ones((3, 3), np.uint8)).view(np.bool_) & beyond
    best = max(
        (piece for piece in np.unique(pieces[touched]).tolist() if piece), key=lambda piece: stats[piece, 4], default=0
    )
    return (centres[best] + np.array([left, top])).astype(np.float32) if best else None


def keep_clicks(mask: BoolArray, points: FloatArray, labels: NDArray[np.int64]) -> None:
    """Change a mask (H, W) so that positive clicks are inside and negative ones outside; a later click wins."""
    for (x, y), label in zip(points.astype(int).tolist(), labels.tolist(), strict=True):
        if mask[y, x] != (label == POSITIVE):
            rows, columns = slice(max(0, y - 1), y + 2), slice(max(0, x - 1), x + 2)
            mask[rows, columns] = label == POSITIVE
    for (x, y), label in zip(points.astype(int).tolist(), labels.tolist(), strict=True):
        mask[y, x] = label == POSITIVE
