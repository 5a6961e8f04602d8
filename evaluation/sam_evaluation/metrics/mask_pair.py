"""The first step of every metric: check that two masks fit together, and cut away what is empty in both."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

BoolArray = NDArray[np.bool_]
"""Masks (H, W). The metrics import nothing of the backend, so they have this type of their own."""


@dataclass(frozen=True, eq=False)
class Pair:
    """Two masks of one image, cut to the box around both and, inside the image, one pixel more.

    A caller that wants many metrics of the same two masks cuts them once.

    Attributes
    ----------
    pred, gt : bool (h, w), of one shape.
    shape : (H, W) of the image.
    """

    pred: BoolArray
    gt: BoolArray
    shape: tuple[int, int]

    @classmethod
    def of(cls, pred: ArrayLike, gt: ArrayLike) -> Pair:
        """Cut two masks bool (H, W).

        Raises
        ------
        ValueError
            If they are not two-dimensional arrays of one shape.
        """
        first, second = as_pair(pred, gt)
        height, width = first.shape
        box = box_slices(first, second)
        if box is None:
            return cls(first[:0, :0], second[:0, :0], (height, width))
        place = tuple(
            slice(max(side.start - 1, 0), min(side.stop + 1, end)) for side, end in zip(box, first.shape, strict=True)
        )
        return cls(first[place], second[place], (height, width))


def as_pair(pred: ArrayLike, gt: ArrayLike) -> tuple[BoolArray, BoolArray]:
    """Return two masks as bool (H, W).

    Raises
    ------
    ValueError
        If they are not two-dimensional arrays of one shape.
    """
    first, second = np.asarray(pred, bool), np.asarray(gt, bool)
    if first.shape != second.shape or first.ndim != 2:
        raise ValueError(f"Masks to compare need one shape (H, W); got {first.shape} and {second.shape}.")
    return first, second


def box_slices(*masks: BoolArray) -> tuple[slice, slice] | None:
    """Return the rows and columns of the smallest box around several masks of one shape; None if all are empty."""
    rectangles = [cv2.boundingRect(np.ascontiguousarray(mask).view(np.uint8)) for mask in masks if mask.size]
    boxes = [(y, x, y + height, x + width) for x, y, width, height in rectangles if width]
    if not boxes:
        return None
    tops, lefts, bottoms, rights = zip(*boxes, strict=True)
    return slice(min(tops), max(bottoms)), slice(min(lefts), max(rights))
