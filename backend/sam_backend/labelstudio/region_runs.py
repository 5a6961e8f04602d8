"""The masks of regions as runs, kept by their content: most masks of a page are the same at the next click."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Mapping
from typing import Any

import numpy as np
from cachetools import LRUCache

from sam_backend.arrays import FloatArray
from sam_backend.errors import BadRequestError, BrokenSampleError
from sam_backend.labelstudio.brush_text import BrushText
from sam_backend.labelstudio.mask_runs import MaskRuns
from sam_backend.labelstudio.region_masks import cropped_region, region_shape
from sam_backend.labelstudio.rle import decode_runs

_LIMIT = 64 * 2**20
_OVERHEAD = 1_000
"""Bytes of an entry beside its runs."""


class RegionRuns:
    """Decodes regions, and keeps what it decoded. Safe to share between threads.

    Parameters
    ----------
    limit_bytes : int, the limit of what is kept; the least recently used are dropped first.
    """

    def __init__(self, limit_bytes: int = _LIMIT) -> None:
        self._kept: LRUCache[bytes, MaskRuns] = LRUCache(limit_bytes, getsizeof=lambda runs: runs.nbytes + _OVERHEAD)
        self._lock = threading.Lock()

    def of_entry(self, entry: Mapping[str, Any], size: tuple[int, int]) -> MaskRuns | None:
        """Return the mask of a region.

        Parameters
        ----------
        entry : the entry of a `result` that has the shape.
        size : (H, W) of the image in pixels.

        Returns
        -------
        MaskRuns or None
            None where the region was drawn on an image of another size.

        Raises
        ------
        BadRequestError
            If the region is damaged.
        """
        if (entry.get("original_height"), entry.get("original_width")) != size:
            return None
        key = _digest(entry, size)
        with self._lock:
            runs = self._kept.get(key)
        if runs is None:
            try:
                runs = _decode(entry, size)
            except BrokenSampleError as error:
                raise BadRequestError(str(error)) from error
            with self._lock:
                if runs.nbytes + _OVERHEAD <= self._kept.maxsize:
                    self._kept[key] = runs
        return runs


def is_elsewhere(entry: Mapping[str, Any], size: tuple[int, int], boxes: FloatArray) -> bool:
    """Return whether the corners of a polygon or a vector show that it touches none of some boxes; False for others.

    A page may hold thousands of outlines, and to fill one takes milliseconds.

    Parameters
    ----------
    entry : the entry of a `result` that has the shape.
    size : (H, W) of the image in pixels.
    boxes : (N, 4), xyxy in pixels.
    """
    value, shape = entry["value"], region_shape(entry)
    if shape not in ("polygon", "vector"):
        return False
    try:
        if shape == "polygon":
            corners = np.asarray(value["points"], np.float64)
        else:
            corners = np.array([(vertex["x"], vertex["y"]) for vertex in value["vertices"]], np.float64)
    except (KeyError, TypeError, ValueError):
        return False
    if corners.ndim != 2 or corners.shape[1] != 2 or not len(corners):
        return False
    corners = corners * (size[1] / 100, size[0] / 100)
    (left, top), (right, bottom) = corners.min(axis=0), corners.max(axis=0)
    touches = (boxes[:, 0] <= right) & (left <= boxes[:, 2]) & (boxes[:, 1] <= bottom) & (top <= boxes[:, 3])
    return not touches.any()


def _decode(entry: Mapping[str, Any], size: tuple[int, int]) -> MaskRuns:
    if region_shape(entry) == "brush":
        return decode_runs(entry["value"]["rle"], size)
    mask = cropped_region(entry)
    return MaskRuns.of_mask(np.zeros(size, np.bool_) if mask is None else mask)


def _digest(entry: Mapping[str, Any], size: tuple[int, int]) -> bytes:
    value = entry["value"]
    content = value.get("rle")
    if isinstance(content, BrushText):
        return content.digest + repr(size).encode()
    try:
        data = bytes(content) if isinstance(content, list) else repr(value).encode("utf-8", "replace")
    except (TypeError, ValueError):
        data = repr(content).encode()
    return hashlib.blake2b(data + repr(size).encode(), digest_size=16).digest()
