"""Agreement of two outlines: boundary F-measure and boundary IoU.

Both equal their reference implementations and are computed on the box around the two masks alone, with one distance
transform or one separable erosion a mask in place of a dilation by a disk.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from sam_evaluation.metrics.masks import Mask, as_pair, box_of

DAVIS_TOLERANCE = 0.008
"""Share of the image's diagonal: the tolerance of the DAVIS benchmark."""


def boundary_f(pred: ArrayLike, gt: ArrayLike, tolerance: float = DAVIS_TOLERANCE) -> float:
    """Return the boundary F-measure of two masks, from 0 to 1, as DAVIS defines it.

    The harmonic mean of precision (share of the predicted outline that lies within `tolerance` of the true one) and
    recall (the same the other way round).

    Parameters
    ----------
    pred, gt : bool (H, W).
    tolerance : below 1 a share of the image's diagonal, rounded up to whole pixels; from 1 on pixels.

    Returns
    -------
    float
        1.0 where neither mask has an outline (each is empty or full), 0.0 where only one has.

    Raises
    ------
    ValueError
        If the masks differ in shape.

    References
    ----------
    Perazzi et al., A Benchmark Dataset and Evaluation Methodology for Video Object Segmentation, CVPR 2016, section
    4.1.

    Examples
    --------
    >>> gt = np.zeros((20, 20), bool)
    >>> gt[5:15, 5:15] = True
    >>> boundary_f(np.roll(gt, 1, axis=1), gt, tolerance=1)
    1.0
    """
    return boundary_fs(pred, gt, [tolerance])[0]


def boundary_fs(pred: ArrayLike, gt: ArrayLike, tolerances: Iterable[float]) -> list[float]:
    """Return `boundary_f` at each of several tolerances, for little more than the price of one."""
    first, second = as_pair(pred, gt)
    reaches = [_reach(tolerance, first.shape) for tolerance in tolerances]
    shape = first.shape
    box = box_of(first, second)
    if box is None:
        return [1.0] * len(reaches)
    # The outline of DAVIS runs along the upper left of a mask: one row and column more belong to the box.
    rows, columns = (
        slice(max(side.start - 1, 0), min(side.stop + 1, end)) for side, end in zip(box, shape, strict=True)
    )
    outlines = [outline(mask, rows, columns) for mask in (first, second)]
    counts = [int(np.count_nonzero(each)) for each in outlines]
    if not all(counts):
        return [float(not any(counts))] * len(reaches)
    near = [_squared_distances(at, to, max(reaches)) for at, to in (outlines, outlines[::-1])]
    scores = []
    for reach in reaches:
        precision, recall = (float(np.count_nonzero(each <= reach * reach)) / len(each) for each in near)
        scores.append(2 * precision * recall / (precision + recall) if precision + recall else 0.0)
    return scores


def outline(mask: Mask, rows: slice, columns: slice) -> Mask:
    """Return the outline of a mask inside a part of the image: pixels that differ from the one right, below, or both.

    In the last row and column of the image only the neighbour that exists is asked, and the last pixel is never part.
    """
    height, width = mask.shape
    part = mask[rows, columns]
    beyond = mask[rows.start : min(rows.stop + 1, height), columns.start : min(columns.stop + 1, width)]
    padded = np.pad(
        beyond, [(0, part.shape[0] + 1 - beyond.shape[0]), (0, part.shape[1] + 1 - beyond.shape[1])], mode="edge"
    )
    edge: Mask = (part != padded[:-1, 1:]) | (part != padded[1:, :-1]) | (part != padded[1:, 1:])
    return edge


def _reach(tolerance: float, shape: tuple[int, ...]) -> float:
    return tolerance if tolerance >= 1 else math.ceil(tolerance * math.hypot(*shape))


def _squared_distances(at: Mask, to: Mask, reach: float) -> NDArray[np.float64]:
    """Return the squared distance (N,) from each pixel set in `at` to the nearest set in `to`, exact up to `reach`."""
    distance = cv2.distanceTransform((~to).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[at].astype(np.float64)
    # Squares of distances on a grid are whole numbers.
    squared: NDArray[np.float64] = np.rint(distance * distance)
    return squared


def boundary_iou(pred: ArrayLike, gt: ArrayLike, ratio: float = 0.02) -> float:
    """Return the boundary IoU of two masks, from 0 to 1: the IoU of the bands along the insides of their outlines.

    Parameters
    ----------
    pred, gt : bool (H, W).
    ratio : width of the bands, as a share of the image's diagonal; a pixel at least.

    Returns
    -------
    float
        1.0 where both masks are empty. The image's edge counts as outline, so a full mask has a band.

    Raises
    ------
    ValueError
        If the masks differ in shape.

    References
    ----------
    Cheng et al., Boundary IoU: Improving Object-Centric Image Segmentation Evaluation, CVPR 2021, equation 2.

    Examples
    --------
    >>> gt = np.zeros((20, 20), bool)
    >>> gt[5:15, 5:15] = True
    >>> pred = gt.copy()
    >>> pred[8:12, 8:12] = False
    >>> boundary_iou(pred, gt)  # bands are one pixel wide: 36 pixels around both, 20 more around the hole
    0.6428571428571429
    """
    first, second = as_pair(pred, gt)
    width = max(round(ratio * math.hypot(*first.shape)), 1)
    box = box_of(first, second)
    if box is None:
        return 1.0
    bands = [_band(mask[box], width) for mask in (first, second)]
    return int(np.count_nonzero(bands[0] & bands[1])) / int(np.count_nonzero(bands[0] | bands[1]))


def _band(mask: Mask, width: int) -> Mask:
    """Return the pixels of a mask within `width` of one outside it, counted as a king moves."""
    side = 2 * width + 1
    padded = cv2.copyMakeBorder(mask.view(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    inner = cv2.erode(padded, np.ones((side, side), np.uint8))[1:-1, 1:-1]
    band: Mask = mask & (inner == 0)
    return band
