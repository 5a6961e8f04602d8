"""Masks as COCO's compressed run-lengths: short enough to keep every mask of a run beside its metrics."""

from __future__ import annotations

import numpy as np
from pycocotools import mask as coco

from sam_backend.arrays import BoolArray
from sam_evaluation.metrics.mask_pair import box_slices


def encode_mask(mask: BoolArray) -> str:
    """Return the `counts` of a mask bool (H, W), which may be empty.

    Examples
    --------
    >>> encode_mask(np.array([[False, True], [False, True]]))
    '22'
    """
    height, width = mask.shape
    # Runs go down the columns. Only columns with set pixels are read: most masks are small in a large image.
    _, columns = box_slices(mask) or (slice(0, 0), slice(0, 0))
    pixels = mask[:, columns].ravel("F").view(np.int8)
    flips = np.flatnonzero(np.diff(pixels, prepend=0, append=0)) + columns.start * height
    ends = np.concatenate([[0], flips[flips < mask.size], [mask.size]])
    runs = {"size": [height, width], "counts": np.diff(ends).tolist()}
    return str(coco.frPyObjects(runs, height, width)["counts"].decode("ascii"))


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
