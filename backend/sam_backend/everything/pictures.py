"""A picture of an image and its instances, side by side."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from sam_backend.arrays import ImageArray
from sam_backend.everything.label_maps import colours
from sam_backend.segmenters.image_reader import ImageReader
from sam_backend.segmenters.views import View
from sam_backend.segmenters.windows import whole_image

SIDE = 1600
"""Most pixels of the longer side of each half."""

_GAP = 8
_COLOURED = 0.45


def side_by_side(reader: ImageReader, map_of_ids: NDArray[np.uint16]) -> ImageArray:
    """Return the image, and beside it the image with each id of a map in its colour, uint8 RGB (h, 2 w + gap, 3).

    Parameters
    ----------
    reader : ImageReader of the image.
    map_of_ids : (H, W), see `label_map`.
    """
    size = reader.size
    original = View(whole_image(size), size).read(reader)
    scale = min(SIDE / max(size), 1.0)
    shape = max(round(size[1] * scale), 1), max(round(size[0] * scale), 1)
    original = np.asarray(cv2.resize(original, shape, interpolation=cv2.INTER_AREA), np.uint8)
    shown = cv2.resize(map_of_ids, shape, interpolation=cv2.INTER_NEAREST)
    coloured = colours(int(shown.max(initial=0)))[shown]
    result = original.copy()
    inside = shown > 0
    mixed = (1 - _COLOURED) * original[inside] + _COLOURED * coloured[inside]
    result[inside] = np.round(mixed).astype(np.uint8)
    edge = inside & _differs_from_neighbour(shown)
    result[edge] = coloured[edge]
    gap = np.full((len(original), _GAP, 3), 255, np.uint8)
    return np.concatenate([original, gap, result], 1)


def result_of(picture: ImageArray) -> ImageArray:
    """Return the right half of a picture of `side_by_side`."""
    return picture[:, (picture.shape[1] + _GAP) // 2 :]


def _differs_from_neighbour(shown: NDArray[np.uint16]) -> NDArray[np.bool_]:
    padded = np.pad(shown, 1, mode="edge")
    neighbours = (padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:])
    return np.asarray(np.any([shown != one for one in neighbours], axis=0), np.bool_)
