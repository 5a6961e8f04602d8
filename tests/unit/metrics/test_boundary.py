"""Boundary F and boundary IoU against plain implementations, on masks that do and do not touch the edge."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from skimage.morphology import dilation, disk

from sam_evaluation.metrics import boundary_f, boundary_iou


def rough_masks(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return two bool masks of one random size; widths around a machine word's 64 bits among them."""
    rng = np.random.default_rng(seed)
    shape = int(rng.integers(2, 90)), int(rng.choice([2, 17, 63, 64, 65, 127, 128, 129, 150]))
    noise = [cv2.GaussianBlur(rng.normal(size=shape), (0, 0), 3) for _ in range(2)]
    return noise[0] > 0.02, (noise[0] + 0.5 * noise[1]) > 0.02


def plain_outline(mask: np.ndarray) -> np.ndarray:
    height, width = mask.shape
    outline = np.zeros_like(mask)
    for y in range(height):
        for x in range(width):
            below, right = min(y + 1, height - 1), min(x + 1, width - 1)
            outline[y, x] = not mask[y, x] == mask[below, x] == mask[y, right] == mask[below, right]
    return outline


@pytest.mark.parametrize("tolerance", [0.008, 0.05, 1, 2, 7])
@pytest.mark.parametrize("seed", range(8))
def test_boundary_f_is_that_of_outlines_dilated_by_a_disk(seed: int, tolerance: float) -> None:
    masks = rough_masks(seed)
    reach = tolerance if tolerance >= 1 else math.ceil(tolerance * math.hypot(*masks[0].shape))
    outlines = [plain_outline(mask) for mask in masks]
    near = [dilation(outline.astype(np.uint8), disk(reach)) > 0 for outline in outlines]
    shares = [(outlines[k] & near[1 - k]).sum() / outlines[k].sum() for k in (0, 1)]
    assert boundary_f(*masks, tolerance) == pytest.approx(2 * shares[0] * shares[1] / sum(shares), abs=1e-12)


@pytest.mark.parametrize("seed", range(8))
def test_boundary_iou_is_that_of_what_an_erosion_takes_away(seed: int) -> None:
    masks = rough_masks(seed)
    times = max(round(0.02 * math.hypot(*masks[0].shape)), 1)
    padded = [np.pad(mask.astype(np.uint8), 1) for mask in masks]
    bands = [each - cv2.erode(each, np.ones((3, 3), np.uint8), iterations=times) for each in padded]
    assert boundary_iou(*masks) == (bands[0] & bands[1]).sum() / (bands[0] | bands[1]).sum()


def test_masks_without_an_outline_agree_with_each_other_and_with_nothing_else() -> None:
    empty, full = np.zeros((9, 12), bool), np.ones((9, 12), bool)
    half = full.copy()
    half[:, :6] = False
    assert boundary_f(empty, empty) == boundary_f(full, full) == 1.0
    assert boundary_f(empty, half) == boundary_f(half, full) == 0.0
    assert boundary_iou(empty, empty) == boundary_iou(full, full) == 1.0
    assert boundary_iou(empty, half) == 0.0
