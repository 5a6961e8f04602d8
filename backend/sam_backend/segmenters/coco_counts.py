"""Masks as COCO's compressed run-lengths."""

from __future__ import annotations

import numpy as np
from pycocotools import mask as coco

from sam_backend.samples import Cropped


def coco_counts(mask: Cropped) -> str:
    """Return the `counts` of a mask, which may be empty; only the columns of its box are read.

    Examples
    --------
    >>> coco_counts(Cropped.of(np.array([[False, True], [False, True]])))
    '22'
    """
    height, width = mask.size
    left, top, right, bottom = mask.box
    # Runs go down the columns.
    columns = np.zeros((height, right - left), np.int8, order="F")
    columns[top:bottom] = mask.part
    flips = np.flatnonzero(np.diff(columns.ravel("F"), prepend=0, append=0)) + left * height
    pixels = height * width
    ends = np.concatenate([[0], flips[flips < pixels], [pixels]])
    runs = {"size": [height, width], "counts": np.diff(ends).tolist()}
    return str(coco.frPyObjects(runs, height, width)["counts"].decode("ascii"))
