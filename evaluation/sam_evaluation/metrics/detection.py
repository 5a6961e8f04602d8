"""Objects found without a prompt: which prediction is which object, and what was missed or made up."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray
from pycocotools import mask as coco
from scipy.optimize import linear_sum_assignment

from sam_evaluation.metrics.mask_pair import BoolArray, as_pair

Floats = NDArray[np.float64]
COCO_THRESHOLDS: Floats = np.linspace(0.5, 0.95, 10, dtype=np.float64)


def pairwise_iou(pred: Iterable[BoolArray], gt: Iterable[BoolArray]) -> Floats:
    """Return the IoU (P, G) of every one of P masks with every one of G.

    Parameters
    ----------
    pred, gt : bool (H, W) each; a stack (N, H, W), or anything that yields them one by one.

    Raises
    ------
    ValueError
        If the masks differ in height or width.
    """
    runs = [[coco.encode(np.asfortranarray(mask).view(np.uint8)) for mask in masks] for masks in (pred, gt)]
    sizes = {tuple(each["size"]) for side in runs for each in side}
    if len(sizes) > 1:
        raise ValueError(f"Masks to compare need one shape (H, W); got {', '.join(map(str, sorted(sizes)))}.")
    shape = len(runs[0]), len(runs[1])
    return np.asarray(coco.iou(*runs, [False] * shape[1]), np.float64).reshape(shape) if all(shape) else np.zeros(shape)


@dataclass(frozen=True, eq=False)
class Matching:
    """Pairs of predictions and objects.

    Attributes
    ----------
    pred, gt : (M,) int64 indices; each prediction and each object at most once.
    iou : (M,) of the pairs.
    """

    pred: NDArray[np.int64]
    gt: NDArray[np.int64]
    iou: Floats


def match(ious: Floats, threshold: float = 0.5) -> Matching:
    """Pair predictions with objects one to one: as many as reach `threshold`, then with the greatest sum of IoU.

    Parameters
    ----------
    ious : (P, G) from `pairwise_iou`.
    threshold : pairs with an IoU below it, and pairs that do not overlap, are no pairs.

    References
    ----------
    Kuhn, The Hungarian method for the assignment problem, 1955; solved by `scipy.optimize.linear_sum_assignment`.

    Examples
    --------
    >>> found = match(np.array([[0.9, 0.6], [0.7, 0.0]]), threshold=0.5)  # not the best pair first: two pairs, not one
    >>> found.pred.tolist(), found.gt.tolist()
    ([0, 1], [1, 0])
    """
    allowed = (ious >= threshold) & (ious > 0)
    # One more pair is worth more than all overlap that it may cost.
    worth = np.where(allowed, min(ious.shape) + 1 + ious, 0.0)
    rows, columns = linear_sum_assignment(worth, maximize=True)
    paired = allowed[rows, columns]
    return Matching(rows[paired], columns[paired], ious[rows, columns][paired])


def average_recall(
    ious: Sequence[Floats], scores: Sequence[Floats], limit: int, thresholds: Floats = COCO_THRESHOLDS
) -> float:
    """Return COCO's average recall: mean over IoU thresholds of the share of objects found by the best predictions.

    Parameters
    ----------
    ious : one (P, G) matrix an image, from `pairwise_iou`.
    scores : (P,) of each image's predictions.
    limit : predictions an image that count, those of the highest scores.
    thresholds : IoU from which an object counts as found.

    Returns
    -------
    float
        From 0 to 1; NaN where there is no object at all.

    References
    ----------
    Lin et al., Microsoft COCO, ECCV 2014; the greedy matching is that of `pycocotools.cocoeval`.
    """
    objects = sum(matrix.shape[1] for matrix in ious)
    if not objects:
        return float("nan")
    found = np.zeros(len(thresholds))
    for matrix, score in zip(ious, scores, strict=True):
        best = matrix[np.argsort(-score, kind="stable")[:limit]]
        for index, threshold in enumerate(np.minimum(thresholds, 1 - 1e-10)):
            free = np.ones(matrix.shape[1], bool)
            for row in best:
                candidates = np.flatnonzero(free & (row >= threshold))
                if len(candidates):
                    # Of equals the last, as pycocotools has it.
                    free[candidates[::-1][np.argmax(row[candidates[::-1]])]] = False
            found[index] += np.count_nonzero(~free)
    return float((found / objects).mean())


def region_overlap(pred: ArrayLike, gt: ArrayLike) -> float:
    """Return the region overlap of all that was predicted: mean over defects of the share of their pixels covered.

    Parameters
    ----------
    pred : bool (H, W), the union of the predicted masks.
    gt : bool (H, W); its connected components (8 neighbours) are the defects, each with the same weight.

    Returns
    -------
    float
        From 0 to 1; NaN without a defect.

    References
    ----------
    Bergmann et al., The MVTec Anomaly Detection Dataset, IJCV 2021: the per-region overlap (PRO) at one threshold.
    """
    pred, gt = as_pair(pred, gt)
    count, labels = cv2.connectedComponents(gt.astype(np.uint8), connectivity=8)
    if count == 1:
        return float("nan")
    sizes = np.bincount(labels.ravel(), minlength=count)[1:]
    covered = np.bincount(labels[pred], minlength=count)[1:]
    return float((covered / sizes).mean())
