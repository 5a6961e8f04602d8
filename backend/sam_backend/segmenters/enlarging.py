"""Logits become a mask of the image: enlarged as `SamPredictor` does it, but inside the mask's box only."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sam_backend.arrays import BoolArray, FloatArray
from sam_backend.samples import Cropped
from sam_backend.segmenters.pieces import clicked_pieces

_PIXELS = 2**18
"""Pixels that are computed at once: these stay in the processor's cache."""


def enlarged_mask(
    logits: FloatArray, corner: tuple[int, int], shown: tuple[int, int], size: tuple[int, int], points: FloatArray
) -> Cropped:
    """Return where logits are positive, in the pixels of the image.

    Parameters
    ----------
    logits : (h, w) float32, a part of the logits of the image; outside it they are negative.
    corner : (row, column) of the part's first cell.
    shown : (rows, columns) of the logits that show the image.
    size : (H, W) of the image in pixels.
    points : (N, 2) xy in pixels of the image; only the connected pieces with a point are kept, all without a point.
    """
    top, rows, down = _between(corner[0], logits.shape[0], shown[0], size[0])
    left, columns, across = _between(corner[1], logits.shape[1], shown[1], size[1])
    part: BoolArray = np.empty((len(rows), len(columns)), np.bool_)
    if part.size:
        last = logits.shape[1] - 1
        wide = logits[:, columns] * (1 - across) + logits[:, np.minimum(columns + 1, last)] * across
        below, down, step = np.minimum(rows + 1, len(wide) - 1), down[:, None], max(1, _PIXELS // len(columns))
        for start in range(0, len(rows), step):
            chunk = slice(start, start + step)
            values = wide[rows[chunk]]
            values *= 1 - down[chunk]
            values += wide[below[chunk]] * down[chunk]
            np.greater(values, 0, out=part[chunk])
        # A click outside the image counts for the nearest pixel.
        spots = np.clip(np.floor(points), 0, np.array(size[::-1]) - 1) - np.array([left, top])
        part = clicked_pieces(part, spots[((spots >= 0) & (spots < part.shape[::-1])).all(1)])
    return Cropped.of_part(part, (top, left), size)


def _between(first: int, count: int, shown: int, length: int) -> tuple[int, NDArray[np.intp], FloatArray]:
    """Return which pixels lie between `count` cells, on one axis.

    Returns
    -------
    tuple
        The first pixel; for each pixel the cell before it, counted from `first`; and how far it is to the next cell, in
        [0, 1].
    """
    scale = shown / length
    low = 0 if first == 0 else max(0, int(np.ceil((first + 0.5) / scale - 0.5)))
    last = first + count
    high = length if last >= shown else min(length, int(np.floor((last - 0.5) / scale - 0.5)) + 1)
    places = (np.arange(low, max(low, high)) + 0.5) * scale - 0.5
    places = np.clip(places, 0, shown - 1) - first
    before = np.clip(np.floor(places), 0, count - 1).astype(np.intp)
    return low, before, np.clip(places - before, 0, 1).astype(np.float32)
