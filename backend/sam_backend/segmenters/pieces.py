"""Which connected piece of a mask was meant."""

from __future__ import annotations

import cv2
import numpy as np

from sam_backend.arrays import BoolArray, FloatArray


def clicked_pieces(mask: BoolArray, points: FloatArray) -> BoolArray:
    """Return a mask (H, W) without the connected pieces (8 neighbours) that no click is on.

    Parameters
    ----------
    mask : bool (H, W).
    points : (N, 2) xy of positive clicks in the mask's pixels; those outside count for the nearest pixel.

    Returns
    -------
    ndarray
        Bool (H, W); the mask as it is where no click is on it.
    """
    marked = mask.astype(np.uint8)
    last = np.array(mask.shape[::-1]) - 1
    for x, y in np.clip(np.floor(points), 0, last).astype(int).tolist():
        if marked[y, x] == 1:
            cv2.floodFill(marked, None, (x, y), 2, flags=8)
    kept: BoolArray = marked == 2
    return kept if kept.any() else mask
