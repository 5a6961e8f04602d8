"""Brush strokes -> their pixels, and points along them."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from sam_backend.arrays import BoolArray
from sam_backend.errors import BadRequestError
from sam_backend.labelstudio.bitmask import decode_bitmask
from sam_backend.labelstudio.rle import decode_runs
from sam_backend.masks import mask_depths
from sam_backend.samples import Cropped

_MAX_POINTS = 5
_MAX_AREA = 2**21
"""Pixels of a stroke's box above which its middle is sought on blocks of pixels, since distances take memory."""


def read_stroke(value: Mapping[str, Any], shape: str, size: tuple[int, int] | None, max_pixels: int) -> Cropped:
    """Return the pixels of a stroke; it may be empty.

    Parameters
    ----------
    value : the region's value, with `rle` for the shape "brush" or `imageDataURL` for "bitmask".
    shape : str, "brush" or "bitmask".
    size : (height, width) in pixels of the image in Label Studio; None if the region lacks it.
    max_pixels : int, the largest image whose strokes are decoded.

    Raises
    ------
    BadRequestError
        If the stroke or its image's size is missing, damaged or too large.
    """
    if size is None:
        raise BadRequestError(
            "A stroke needs the original_width and original_height of its image, in whole pixels; the region has none "
            "that can be used."
        )
    height, width = size
    if height * width > max_pixels:
        raise BadRequestError(
            f"A stroke is read on images of up to {max_pixels} pixels; this one has {width} x {height}. Click instead."
        )
    if shape == "brush":
        return decode_runs(value.get("rle", []), size).cropped()
    url = value.get("imageDataURL")
    return Cropped.of(decode_bitmask(url if isinstance(url, str) else "", size))


def points_along(stroke: Cropped) -> list[tuple[float, float]]:
    """Return up to five points spread along the middle of a stroke, xy in per cent; none for an empty stroke."""
    height, width = stroke.size
    return [((x + 0.5) / width * 100, (y + 0.5) / height * 100) for x, y in _middle(stroke)]


def _middle(mask: Cropped) -> list[tuple[int, int]]:
    (top, left), stroke = mask.corner, mask.part
    if not stroke.size:
        return []
    side = math.ceil(math.sqrt(stroke.size / _MAX_AREA))
    if side == 1:
        return [(left + x, top + y) for x, y in _spread(stroke)]
    # A block is part of the stroke if one of its pixels is, so that a thin stroke stays whole.
    rows = np.logical_or.reduceat(stroke, np.arange(0, stroke.shape[0], side), axis=0)
    blocks = np.logical_or.reduceat(rows, np.arange(0, stroke.shape[1], side), axis=1)
    pixels = []
    for x, y in _spread(blocks):
        ys, xs = np.nonzero(stroke[y * side : (y + 1) * side, x * side : (x + 1) * side])
        nearest = int(np.argmin(np.hypot(xs - side / 2, ys - side / 2)))
        pixels.append((left + x * side + int(xs[nearest]), top + y * side + int(ys[nearest])))
    return pixels


def _spread(mask: BoolArray) -> list[tuple[int, int]]:
    """Pick pixels xy: first the deepest pixel, then repeatedly the pixel farthest from all picked ones."""
    depths = mask_depths(mask)
    if depths is None:
        return []
    depth, (left, top) = depths
    thickness = 2 * float(depth.max())
    ys, xs = np.nonzero(depth > thickness / 4)
    picked = [int(np.argmax(depth[ys, xs]))]
    distance = np.full(len(xs), np.inf)
    while len(picked) < _MAX_POINTS:
        distance = np.minimum(distance, np.hypot(xs - xs[picked[-1]], ys - ys[picked[-1]]))
        farthest = int(np.argmax(distance))
        if distance[farthest] < thickness:
            break
        picked.append(farthest)
    return [(left + int(xs[i]), top + int(ys[i])) for i in picked]
