"""Where simulated annotators click and how they draw boxes."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from sam_evaluation.metrics.masks import Mask, box_of

Point = tuple[int, int]


def _depth(mask: Mask) -> tuple[NDArray[np.float32], Point] | None:
    """Return each pixel's distance to what is outside the mask, on the mask's box, and the box's corner xy."""
    box = box_of(mask)
    if box is None:
        return None
    padded = np.pad(mask[box], 1).view(np.uint8)
    distance = cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
    return distance, (box[1].start, box[0].start)


def centre(mask: Mask) -> Point:
    """Return the pixel (x, y) of a mask that is farthest from all outside it; the topmost, leftmost of equals.

    The image's edge counts as outside. `mask` must not be empty.
    """
    found = _depth(mask)
    if found is None:
        raise ValueError("An empty mask has no centre.")
    distance, (left, top) = found
    row, column = np.unravel_index(int(np.argmax(distance)), distance.shape)
    return left + int(column), top + int(row)


def anywhere(rng: Generator, mask: Mask) -> Point:
    """Return any pixel (x, y) of a mask, all with the same probability."""
    rows, columns = np.nonzero(mask)
    index = int(rng.integers(len(rows)))
    return int(columns[index]), int(rows[index])


def around_centre(rng: Generator, mask: Mask) -> Point:
    """Return a pixel (x, y) of a mask as people click: mostly where it is deep.

    The probability of a pixel grows with its distance from what is outside the mask, by its fourth power: people aim
    at the inside and miss the very middle (Antonov et al., RClicks, arXiv 2410.11722, found real clicks spread so,
    where benchmarks put all of them on one point).
    """
    found = _depth(mask)
    if found is None:
        raise ValueError("An empty mask has no centre.")
    distance, (left, top) = found
    weight = distance.astype(np.float64).ravel() ** 4
    row, column = np.unravel_index(int(rng.choice(len(weight), p=weight / weight.sum())), distance.shape)
    return left + int(column), top + int(row)


def correction(mask: Mask, truth: Mask, clicked: list[Point]) -> tuple[Point, int] | None:
    """Return the next click (x, y) and its label, or None where nothing is wrong but pixels that were clicked.

    As RITM has it (Sofiiuk et al., Reviving iterative training with mask guidance, ICIP 2022): of what is missing and
    what is too much, the pixel that is farthest from all that is right; positive (1) where something is missing,
    negative (0) where there is too much. No pixel is clicked twice.
    """
    best: tuple[float, Point, int] | None = None
    for wrong, label in ((truth & ~mask, 1), (mask & ~truth, 0)):
        found = _depth(wrong)
        if found is None:
            continue
        distance, (left, top) = found
        height, width = distance.shape
        for x, y in clicked:
            if 0 <= x - left < width and 0 <= y - top < height:
                distance[y - top, x - left] = 0
        row, column = np.unravel_index(int(np.argmax(distance)), distance.shape)
        depth = float(distance[row, column])
        if depth > 0 and (best is None or depth > best[0]):
            best = depth, (left + int(column), top + int(row)), label
    return None if best is None else best[1:]


def tight_box(mask: Mask) -> NDArray[np.float32]:
    """Return the box (4,) xyxy, half-open, around a mask that is not empty."""
    box = box_of(mask)
    if box is None:
        raise ValueError("An empty mask has no box.")
    rows, columns = box
    return np.array([columns.start, rows.start, columns.stop, rows.stop], np.float32)


def jittered_box(rng: Generator, mask: Mask) -> NDArray[np.float32]:
    """Return the tight box with SAM's training jitter.

    Each side moves by a normal error whose deviation is a tenth of the box's length along it, 20 pixels at most
    (Kirillov et al., Segment Anything, 2023, section A); the box stays in the image and a pixel wide at least.
    """
    tight = tight_box(mask)
    sides = np.tile(tight[2:] - tight[:2], 2)
    moved = tight + np.clip(rng.normal(0, 1, 4) * 0.1 * sides, -20, 20)
    height, width = mask.shape
    low = np.clip(moved[:2], 0, [width - 1, height - 1])
    high = np.clip(moved[2:], low + 1, [width, height])
    return np.concatenate([low, high]).astype(np.float32)
