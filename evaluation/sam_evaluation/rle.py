"""Masks as COCO's compressed run-lengths: text short enough to keep every mask of a run beside its numbers."""

from __future__ import annotations

import numpy as np
from pycocotools import mask as coco

from sam_evaluation.datasets.sample import Mask


def encode_mask(mask: Mask) -> str:
    """Return the `counts` of a mask bool (H, W), an empty one included.

    Examples
    --------
    >>> encode_mask(np.array([[False, True], [False, True]]))
    '22'
    """
    return str(coco.encode(np.asfortranarray(mask, np.uint8))["counts"].decode("ascii"))


def decode_mask(counts: str, size: tuple[int, int]) -> Mask:
    """Return the mask bool (H, W) of `counts` written by `encode_mask`; `size` is (H, W)."""
    return np.asarray(coco.decode({"counts": counts.encode("ascii"), "size": list(size)}), bool)
