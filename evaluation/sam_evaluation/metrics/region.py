"""Overlap and size of two masks."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from sam_evaluation.metrics.mask_pair import Pair


def iou(pred: ArrayLike, gt: ArrayLike) -> float:
    """Return the intersection over union of two masks, from 0 to 1 (Jaccard index).

    Parameters
    ----------
    pred, gt : bool (H, W).

    Returns
    -------
    float
        1.0 if both masks are empty: there was nothing to find, and nothing was predicted.

    Raises
    ------
    ValueError
        If the masks differ in shape.

    Examples
    --------
    >>> iou([[1, 1, 0]], [[0, 1, 1]])
    0.3333333333333333
    """
    return iou_of(Pair.of(pred, gt))


def iou_of(pair: Pair) -> float:
    """Return `iou` of a pair of masks."""
    union = int(np.count_nonzero(pair.pred | pair.gt))
    return int(np.count_nonzero(pair.pred & pair.gt)) / union if union else 1.0


def dice(pred: ArrayLike, gt: ArrayLike) -> float:
    """Return the Dice coefficient of two masks, from 0 to 1: twice the intersection over the sum of the areas.

    It equals the F1 score of the pixels, and 2 IoU / (1 + IoU). It is 1.0 if both masks are empty.

    Parameters
    ----------
    pred, gt : bool (H, W).

    Raises
    ------
    ValueError
        If the masks differ in shape.

    Examples
    --------
    >>> dice([[1, 1, 0]], [[0, 1, 1]])
    0.5
    """
    return dice_of(Pair.of(pred, gt))


def dice_of(pair: Pair) -> float:
    """Return `dice` of a pair of masks."""
    total = int(np.count_nonzero(pair.pred)) + int(np.count_nonzero(pair.gt))
    return 2 * int(np.count_nonzero(pair.pred & pair.gt)) / total if total else 1.0


def area_error(pred: ArrayLike, gt: ArrayLike) -> float:
    """Return the relative error of the area: predicted area / true area - 1.

    The smallest value is -1 (nothing was predicted). It is 0.0 if both masks are empty, and infinite if only the true
    one is.

    Parameters
    ----------
    pred, gt : bool (H, W).

    Raises
    ------
    ValueError
        If the masks differ in shape.

    Examples
    --------
    >>> area_error([[1, 1, 1]], [[0, 1, 1]])
    0.5
    """
    return area_error_of(Pair.of(pred, gt))


def area_error_of(pair: Pair) -> float:
    """Return `area_error` of a pair of masks."""
    predicted, true = int(np.count_nonzero(pair.pred)), int(np.count_nonzero(pair.gt))
    if not true:
        return float("inf") if predicted else 0.0
    return predicted / true - 1
