"""Distances between the outlines of two masks, in pixels."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from sam_evaluation.metrics.mask_pair import BoolArray, Pair

_CROSS = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], np.uint8)


def hd95(pred: ArrayLike, gt: ArrayLike) -> float:
    """Return HD95: the 95th percentile of the distances from one outline to the other, in the larger direction.

    An outline consists of the outermost pixels of a mask. One of their four neighbours is outside the mask, or they
    lie at the image's edge.

    Parameters
    ----------
    pred, gt : bool (H, W).

    Returns
    -------
    float
        In pixels. 0.0 if both masks are empty. If only one is empty, the image's diagonal, which is the largest
        possible distance.

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
    return hd95_assd_of(Pair.of(pred, gt))[0]


def assd(pred: ArrayLike, gt: ArrayLike) -> float:
    """Return ASSD, the average symmetric surface distance: the mean distance over the pixels of both outlines.

    Outlines, empty masks and errors are those of `hd95`.

    Parameters
    ----------
    pred, gt : bool (H, W).

    Returns
    -------
    float
        In pixels.

    References
    ----------
    Maier-Hein et al., Metrics reloaded, Nature Methods 2024, supplement on the average symmetric surface distance.

    Examples
    --------
    >>> assd([[1, 1, 1, 0]], [[1, 1, 1, 1]])
    0.14285714285714285
    """
    return hd95_assd_of(Pair.of(pred, gt))[1]


def hd95_assd_of(pair: Pair) -> tuple[float, float]:
    """Return `hd95` and `assd` of a pair of masks; the distances are computed once for both."""
    empty = [not mask.any() for mask in (pair.pred, pair.gt)]
    if any(empty):
        distance = 0.0 if all(empty) else math.hypot(*pair.shape)
        return distance, distance
    surfaces = [_surface(mask) for mask in (pair.pred, pair.gt)]
    both = [_distances(start, end) for start, end in (surfaces, surfaces[::-1])]
    return max(float(np.percentile(distances, 95)) for distances in both), float(np.concatenate(both).mean())


def _surface(mask: BoolArray) -> BoolArray:
    """Return the pixels of a mask that touch the outside along rows or columns."""
    padded = cv2.copyMakeBorder(mask.view(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    surface: BoolArray = mask & (cv2.erode(padded, _CROSS)[1:-1, 1:-1] == 0)
    return surface


def _distances(start: BoolArray, end: BoolArray) -> NDArray[np.float64]:
    """Return the distance (N,) from each of the N pixels in `start` to the nearest pixel in `end`."""
    transform = cv2.distanceTransform((~end).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    distance = transform[start].astype(np.float64)
    # Squared distances on a grid are whole numbers. Rounding them removes the error of OpenCV's single precision.
    exact: NDArray[np.float64] = np.sqrt(np.rint(distance * distance))
    return exact
