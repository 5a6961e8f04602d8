"""Distances between the outlines of two masks, in pixels or millimetres."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from sam_evaluation.metrics.masks import Mask, as_pair, box_of

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
    return hd95_assd(pred, gt, mm_per_pixel)[0]


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
    return hd95_assd(pred, gt, mm_per_pixel)[1]


def hd95_assd(pred: ArrayLike, gt: ArrayLike, mm_per_pixel: float = 1.0) -> tuple[float, float]:
    """Return `hd95` and `assd` for the price of one."""
    both = _directed(*as_pair(pred, gt))
    if isinstance(both, float):
        return both * mm_per_pixel, both * mm_per_pixel
    farthest = max(float(np.percentile(each, 95)) for each in both)
    return farthest * mm_per_pixel, float(np.concatenate(both).mean()) * mm_per_pixel


def _directed(pred: Mask, gt: Mask) -> tuple[NDArray[np.float64], NDArray[np.float64]] | float:
    """Return the distances (N,) of each mask's outline to the other's; one number where a mask is empty."""
    box = box_of(pred, gt)
    if box is None:
        return 0.0
    if not (pred.any() and gt.any()):
        return math.hypot(*pred.shape)
    surfaces = [_surface(mask[box]) for mask in (pred, gt)]
    return _distances(*surfaces), _distances(*surfaces[::-1])


def _surface(mask: Mask) -> Mask:
    """Return the pixels of a mask that touch what is outside it, along rows and columns."""
    padded = cv2.copyMakeBorder(mask.view(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    surface: Mask = mask & (cv2.erode(padded, _CROSS)[1:-1, 1:-1] == 0)
    return surface


def _distances(at: Mask, to: Mask) -> NDArray[np.float64]:
    distance = cv2.distanceTransform((~to).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[at].astype(np.float64)
    # Squares of distances on a grid are whole numbers; rounding them undoes OpenCV's single precision.
    exact: NDArray[np.float64] = np.sqrt(np.rint(distance * distance))
    return exact
