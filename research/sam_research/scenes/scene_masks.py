"""The masks of a scene: objects in front hide those behind, split masks become several, specks are dropped."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from sam_backend.arrays import BoolArray
from sam_backend.masks import mask_box
from sam_research.scenes.textures import Map

MIN_AREA = 40
"""Pixels; smaller masks are dropped, because nobody could click them."""


def settle(behind: list[BoolArray], front: list[BoolArray]) -> list[BoolArray]:
    """Return all masks; the masks behind lose the pixels that the new ones in front hide."""
    for new in front:
        behind = [mask & ~new for mask in behind]
    return behind + front


def components(mask: BoolArray) -> list[BoolArray]:
    """Return the connected components of `mask`."""
    count, labels = cv2.connectedComponents(mask.astype(np.uint8))
    return [labels == index for index in range(1, count)]


def can_be_seen(image: NDArray[np.uint8], mask: BoolArray) -> bool:
    """Return whether the image varies at all across the border of a mask; an overexposed image does not."""
    x0, y0, x1, y1 = mask_box(mask) or (0, 0, 0, 0)
    around = image[max(0, y0 - 3) : y1 + 3, max(0, x0 - 3) : x1 + 3]
    return float(around.std()) > 3.0


def pieces(rng: Generator, mask: BoolArray) -> list[BoolArray]:
    """Return the mask, or its connected components if there are several; none that is too small."""
    if mask.sum() < MIN_AREA or mask.mean() > 0.9:
        return []
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    areas = stats[1:, cv2.CC_STAT_AREA]
    if count == 2 or (areas.max() > 0.9 * mask.sum() and rng.random() < 0.5):
        return [mask]
    return [labels == index + 1 for index in np.argsort(-areas)[:6] if areas[index] >= MIN_AREA]


def stands_out(before: Map, after: Map, mask: BoolArray) -> bool:
    """Return whether a drawing at `mask` changed an image (H, W, 3) enough to be visible on its texture.

    A wide region needs a smaller change than a thin one, because the eye averages.
    """
    box = mask_box(mask)
    if box is None:
        return False
    x0, y0, x1, y1 = box
    window = (slice(max(0, y0 - 6), y1 + 6), slice(max(0, x0 - 6), x1 + 6))
    inside = mask[window]
    change = float(np.abs(after[window] - before[window]).mean(2)[inside].mean())
    texture = float(before[window].mean(2).std())
    depth = float(cv2.distanceTransform(np.pad(inside.astype(np.uint8), 1), cv2.DIST_L2, 3).max())
    return change > max(0.015, texture * float(np.clip(2.4 / depth, 0.4, 0.8)))
