"""What happens to the masks of a scene: what lies in front hides, what fell into pieces is split, specks go."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from sam_research.scenes.textures import Map

Mask = NDArray[np.bool_]

MIN_AREA = 40
"""Masks smaller than this many pixels are dropped: nobody could click them."""


def settle(behind: list[Mask], front: list[Mask]) -> list[Mask]:
    """Return all masks, those behind without what the new ones in front hide."""
    for new in front:
        behind = [mask & ~new for mask in behind]
    return behind + front


def components(mask: Mask) -> list[Mask]:
    """Return the connected components of `mask`."""
    count, labels = cv2.connectedComponents(mask.astype(np.uint8))
    return [labels == index for index in range(1, count)]


def can_be_seen(image: NDArray[np.uint8], mask: Mask) -> bool:
    """Tell whether anything at all varies across the border of `mask`: not so where the picture is burnt out."""
    x, y, width, height = cv2.boundingRect(mask.astype(np.uint8))
    around = image[max(0, y - 3) : y + height + 3, max(0, x - 3) : x + width + 3]
    return float(around.std()) > 3.0


def pieces(rng: Generator, mask: Mask) -> list[Mask]:
    """Return the mask whole, or its connected components where it fell into pieces; nothing that is too small."""
    if mask.sum() < MIN_AREA or mask.mean() > 0.9:
        return []
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    areas = stats[1:, cv2.CC_STAT_AREA]
    if count == 2 or (areas.max() > 0.9 * mask.sum() and rng.random() < 0.5):
        return [mask]
    return [labels == index + 1 for index in np.argsort(-areas)[:6] if areas[index] >= MIN_AREA]


def stands_out(before: Map, after: Map, mask: Mask) -> bool:
    """Tell whether what was drawn at `mask` changed an image (H, W, 3) enough to be told from its texture.

    A wide region is seen at a smaller change than a thin one: the eye averages.
    """
    x, y, width, height = cv2.boundingRect(mask.astype(np.uint8))
    if not width:
        return False
    window = (slice(max(0, y - 6), y + height + 6), slice(max(0, x - 6), x + width + 6))
    inside = mask[window]
    change = float(np.abs(after[window] - before[window]).mean(2)[inside].mean())
    texture = float(before[window].mean(2).std())
    depth = float(cv2.distanceTransform(np.pad(inside.astype(np.uint8), 1), cv2.DIST_L2, 3).max())
    return change > max(0.015, texture * float(np.clip(2.4 / depth, 0.4, 0.8)))
