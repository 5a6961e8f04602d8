"""Masks as COCO's compressed run-lengths: short enough to keep every mask of a run beside its metrics."""

from __future__ import annotations

import numpy as np
from pycocotools import mask as coco

from sam_backend.arrays import BoolArray
from sam_backend.samples import Cropped
from sam_backend.segmenters.coco_counts import coco_counts


def encode_mask(mask: BoolArray) -> str:
    """Return the `counts` of a mask bool (H, W), which may be empty.

    Examples
    --------
    >>> encode_mask(np.array([[False, True], [False, True]]))
    '22'
    """
    return coco_counts(Cropped.of(mask))


def decode_mask(counts: str, size: tuple[int, int]) -> BoolArray:
    """Return the mask bool (H, W) of `counts` written by `encode_mask`; `size` is (H, W)."""
    return np.asarray(coco.decode({"counts": counts.encode("ascii"), "size": list(size)}), bool)


def area_of(counts: str, size: tuple[int, int]) -> int:
    """Return the pixels of a mask without decoding it; 0 for "".

    Examples
    --------
    >>> area_of("22", (2, 2))
    2
    """
    return int(coco.area({"counts": counts.encode("ascii"), "size": list(size)})) if counts else 0
