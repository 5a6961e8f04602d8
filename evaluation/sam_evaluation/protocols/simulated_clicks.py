"""Where simulated annotators click and how they draw boxes."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from sam_backend.arrays import BoolArray, FloatArray
from sam_backend.masks import mask_box, mask_depths

Point = tuple[int, int]
"""x and y in pixels."""


def random_pixel(rng: Generator, mask: BoolArray) -> Point:
    """Return a random pixel of a mask bool (H, W); all pixels have the same probability."""
    rows, columns = np.nonzero(mask)
    index = int(rng.integers(len(rows)))
    return int(columns[index]), int(rows[index])


SPREAD = 0.25
"""How far simulated people click from the deepest point; see `around_deepest_point`."""


def around_deepest_point(rng: Generator, mask: BoolArray, spread: float = SPREAD) -> Point:
    """Return a random pixel of a mask bool (H, W) as people click: mostly where the mask is deep.

    The probability of a pixel is proportional to its distance to the outside to the power of 1 / `spread`: 0 is always
    the deepest pixel, and 1 follows the distance itself. People aim at the inside and miss the exact middle.

    Raises
    ------
    ValueError
        If the mask is empty.

    References
    ----------
    Antonov et al., RClicks, arXiv 2410.11722: real clicks are spread over an object, while benchmarks put all of them
    on one point. Of its simple models, the one that follows the distance is nearest to real clicks, and its trained
    model is more concentrated than that; therefore `SPREAD` is below 1.
    """
    depths = mask_depths(mask)
    if depths is None:
        raise ValueError("An empty mask has no pixel to click on.")
    distance, (left, top) = depths
    x, y = _drawn(rng, distance, spread)
    return left + x, top + y


def _drawn(rng: Generator | None, distance: FloatArray, spread: float) -> Point:
    """Return a pixel by its distance (h, w) to the outside, with the probabilities of `around_deepest_point`."""
    index = int(np.argmax(distance))
    if rng is not None and spread:
        weight = (distance.astype(np.float64).ravel() / distance.max()) ** (1 / spread)
        index = int(rng.choice(len(weight), p=weight / weight.sum()))
    row, column = divmod(index, distance.shape[1])
    return column, row


def correction(
    mask: BoolArray, truth: BoolArray, clicked: list[Point], rng: Generator | None = None, spread: float = 0
) -> tuple[Point, int] | None:
    """Return the next click and its label, as RITM simulates an annotator who corrects a mask.

    The click goes to the pixel of the missing and of the superfluous regions that is farthest from everything correct.
    With a `spread` it goes to a random pixel of the connected region that holds this pixel, never outside of it. No
    pixel is clicked twice.

    Parameters
    ----------
    mask, truth : bool (H, W), the predicted and the true mask.
    clicked : list of Point, the clicks made so far.
    rng, spread : the source of the random pixel, and its spread as of `around_deepest_point`.

    Returns
    -------
    tuple or None
        The point, and 1 where something is missing or 0 where the mask covers too much. None if no wrong pixel is left
        that was not clicked before.

    References
    ----------
    Sofiiuk et al., Reviving iterative training with mask guidance, ICIP 2022.
    """
    best: tuple[float, FloatArray, Point, int] | None = None
    for wrong, label in ((truth & ~mask, 1), (mask & ~truth, 0)):
        depths = mask_depths(wrong)
        if depths is None:
            continue
        distance, (left, top) = depths
        height, width = distance.shape
        regions = cv2.connectedComponents((distance > 0).astype(np.uint8))[1] if spread else np.ones(distance.shape)
        for x, y in clicked:
            if 0 <= x - left < width and 0 <= y - top < height:
                distance[y - top, x - left] = 0
        deepest = int(np.argmax(distance))
        depth = float(distance.flat[deepest])
        if depth > 0 and (best is None or depth > best[0]):
            best = depth, np.where(regions == regions.flat[deepest], distance, 0), (left, top), label
    if best is None:
        return None
    _, region, (left, top), label = best
    x, y = _drawn(rng, region, spread)
    return (left + x, top + y), label


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
