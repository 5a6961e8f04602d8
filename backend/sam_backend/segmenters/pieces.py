"""The connected pieces of a mask that were clicked."""

from __future__ import annotations

import cv2
import numpy as np

from sam_backend.arrays import BoolArray, FloatArray


def clicked_pieces(mask: BoolArray, points: FloatArray) -> BoolArray:
    """Return a mask (H, W) without the connected pieces (8 neighbours) that no click is on.

    Parameters
    ----------
    mask : bool (H, W).
    points : (N, 2) xy, positive clicks in pixels of the mask; one outside counts for the nearest pixel.

    Returns
    -------
    ndarray
        Bool (H, W); the whole mask if no click is on it.
    """
    marked = mask.astype(np.uint8)
    last = np.array(mask.shape[::-1]) - 1
    for x, y in np.clip(np.floor(points), 0, last).astype(int).tolist():
        if marked[y, x] == 1:
            cv2.floodFill(marked, None, (x, y), 2, flags=8)
    kept: BoolArray = marked == 2
    return kept if kept.any() else mask
