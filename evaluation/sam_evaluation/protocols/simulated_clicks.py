"""Where simulated annotators click and how they draw boxes."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from sam_backend.arrays import BoolArray
from sam_backend.masks import mask_box, mask_depths

Point = tuple[int, int]
"""x and y in pixels."""


def random_pixel(rng: Generator, mask: BoolArray) -> Point:
    """Return a random pixel of a mask bool (H, W); all pixels have the same probability."""
    rows, columns = np.nonzero(mask)
    index = int(rng.integers(len(rows)))
    return int(columns[index]), int(rows[index])


def around_deepest_point(rng: Generator, mask: BoolArray) -> Point:
    """Return a random pixel of a mask bool (H, W) as people click: mostly where the mask is deep.

    The probability of a pixel is proportional to the fourth power of its distance to the outside. People aim at the
    inside and miss the exact middle.

    Raises
    ------
    ValueError
        If the mask is empty.

    References
    ----------
    Antonov et al., RClicks, arXiv 2410.11722: real clicks are spread like this, while benchmarks put all of them on
    one point.
    """
    depths = mask_depths(mask)
    if depths is None:
        raise ValueError("An empty mask has no pixel to click on.")
    distance, (left, top) = depths
    weight = distance.astype(np.float64).ravel() ** 4
    row, column = np.unravel_index(int(rng.choice(len(weight), p=weight / weight.sum())), distance.shape)
    return left + int(column), top + int(row)


def correction(mask: BoolArray, truth: BoolArray, clicked: list[Point]) -> tuple[Point, int] | None:
    """Return the next click and its label, as RITM simulates an annotator who corrects a mask.

    The click goes to the pixel of the missing and of the superfluous regions that is farthest from everything correct.
    No pixel is clicked twice.

    Parameters
    ----------
    mask, truth : bool (H, W), the predicted and the true mask.
    clicked : list of Point, the clicks made so far.

    Returns
    -------
    tuple or None
        The point, and 1 where something is missing or 0 where the mask covers too much. None if no wrong pixel is left
        that was not clicked before.

    References
    ----------
    Sofiiuk et al., Reviving iterative training with mask guidance, ICIP 2022.
    """
    best: tuple[float, Point, int] | None = None
    for wrong, label in ((truth & ~mask, 1), (mask & ~truth, 0)):
        depths = mask_depths(wrong)
        if depths is None:
            continue
        distance, (left, top) = depths
        height, width = distance.shape
        for x, y in clicked:
            if 0 <= x - left < width and 0 <= y - top < height:
                distance[y - top, x - left] = 0
        row, column = np.unravel_index(int(np.argmax(distance)), distance.shape)
        depth = float(distance[row, column])
        if depth > 0 and (best is None or depth > best[0]):
            best = depth, (left + int(column), top + int(row)), label
    return None if best is None else best[1:]


def tight_box(mask: BoolArray) -> NDArray[np.float32]:
    """Return the box (4,) xyxy, half-open, around a mask bool (H, W).

    Raises
    ------
    ValueError
        If the mask is empty.
    """
    box = mask_box(mask)
    if box is None:
        raise ValueError("An empty mask has no box.")
    return np.array(box, np.float32)


def jittered_box(rng: Generator, mask: BoolArray) -> NDArray[np.float32]:
    """Return the tight box (4,) xyxy with the jitter of SAM's training.

    Each side moves by a normal error. Its standard deviation is a tenth of the box's length in that direction, and the
    error is at most 20 pixels. The box stays inside the image and is at least one pixel wide.

    References
    ----------
    Kirillov et al., Segment Anything, 2023, section A.
    """
    tight = tight_box(mask)
    sides = np.tile(tight[2:] - tight[:2], 2)
    moved = tight + np.clip(rng.normal(0, 1, 4) * 0.1 * sides, -20, 20)
    height, width = mask.shape
    low = np.clip(moved[:2], 0, [width - 1, height - 1])
    high = np.clip(moved[2:], low + 1, [width, height])
    return np.concatenate([low, high]).astype(np.float32)
