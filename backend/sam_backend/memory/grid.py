"""The square grid on which the memory compares masks: the image lies at its top left, its longer side fills it."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from sam_backend.arrays import BoolArray, FloatArray

GRID = 256
"""Cells of a side, as many as SAM's low-resolution logits have."""


def on_grid(mask: BoolArray) -> BoolArray:
    """Resize a mask, bool (H, W) in pixels, to the grid, bool (GRID, GRID)."""
    scale = GRID / max(mask.shape)
    rows, columns = (max(1, min(GRID, round(side * scale))) for side in mask.shape)
    grid = np.zeros((GRID, GRID), bool)
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    grid[:rows, :columns] = cv2.resize(mask.astype(np.float32), (columns, rows), interpolation=interpolation) >= 0.5
    return grid


def on_image(logits: FloatArray, size: tuple[int, int]) -> FloatArray:
    """Resize logits (GRID, GRID) to an image of `size` (H, W) in pixels."""
    scale = GRID / max(size)
    # Centres of pixels lie half a pixel in.
    inverse = np.array([[scale, 0, scale / 2 - 0.5], [0, scale, scale / 2 - 0.5]])
    full: NDArray[np.float32] = cv2.warpAffine(
        logits, inverse, size[::-1], flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE
    )
    return full
