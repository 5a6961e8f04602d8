"""Distances between the outlines of two masks, in pixels or millimetres."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from sam_evaluation.metrics.mask_pair import BoolArray, Pair

_CROSS = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], np.uint8)


def hd95(pred: ArrayLike, gt: ArrayLike, mm_per_pixel: float = 1.0) -> float:
    """Return the 95th percentile of the Hausdorff distance of two masks: the larger one of the two directions.

    Distances are measured between the masks' outermost pixels: those with one of their four neighbours, or the image's
    edge, outside the mask.

    Parameters
    ----------
    pred, gt : bool (H, W).
    mm_per_pixel : size of a pixel; the result is in pixels where it is 1.

    Returns
    -------
    float
        0.0 where both masks are empty; the image's diagonal, the largest distance there can be, where only one is.

    Raises
    ------
    ValueError
        If the masks differ in shape.

    References
    ----------
    Maier-Hein et al., Metrics reloaded, Nature Methods 2024, supplement on the Hausdorff distance.

    Examples
    --------
    >>> gt = np.zeros((20, 20), bool)
    >>> gt[5:15, 5:15] = True
    >>> hd95(np.roll(gt, 3, axis=0), gt)
    3.0
    """
    return hd95_assd_of(Pair.of(pred, gt))[0] * mm_per_pixel


def assd(pred: ArrayLike, gt: ArrayLike, mm_per_pixel: float = 1.0) -> float:
    """Return the average symmetric surface distance of two masks: the mean over the pixels of both outlines.

    Outlines, units, empty masks and errors are those of `hd95`.

    Parameters
    ----------
    pred, gt : bool (H, W).
    mm_per_pixel : size of a pixel; the result is in pixels where it is 1.

    References
    ----------
    Maier-Hein et al., Metrics reloaded, Nature Methods 2024, supplement on the average symmetric surface distance.

    Examples
    --------
    >>> assd([[1, 1, 1, 0]], [[1, 1, 1, 1]])
    0.14285714285714285
    """
    return hd95_assd_of(Pair.of(pred, gt))[1] * mm_per_pixel


def hd95_assd_of(pair: Pair) -> tuple[float, float]:
    """Return `hd95` and `assd`, in pixels, of masks that are cut already: both for the price of one."""
    empty = [not mask.any() for mask in (pair.pred, pair.gt)]
    if any(empty):
        distance = 0.0 if all(empty) else math.hypot(*pair.shape)
        return distance, distance
    surfaces = [_surface(mask) for mask in (pair.pred, pair.gt)]
    both = [_distances(at, to) for at, to in (surfaces, surfaces[::-1])]
    return max(float(np.percentile(each, 95)) for each in both), float(np.concatenate(both).mean())


def _surface(mask: BoolArray) -> BoolArray:
    """Return the pixels of a mask that touch what is outside it, along rows and columns."""
    padded = cv2.copyMakeBorder(mask.view(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    surface: BoolArray = mask & (cv2.erode(padded, _CROSS)[1:-1, 1:-1] == 0)
    return surface


def _distances(at: BoolArray, to: BoolArray) -> NDArray[np.float64]:
    distance = cv2.distanceTransform((~to).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[at].astype(np.float64)
    # Squares of distances on a grid are whole numbers; rounding them undoes OpenCV's single precision.
    exact: NDArray[np.float64] = np.sqrt(np.rint(distance * distance))
    return exact
