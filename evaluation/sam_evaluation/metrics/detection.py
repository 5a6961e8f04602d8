"""Objects found without a prompt: pairs of predictions and objects, recall, and the overlap of regions."""

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
    """Return the IoU (P, G) of each of P predicted masks with each of G true masks.

    Parameters
    ----------
    pred, gt : masks bool (H, W); a stack (N, H, W), or any iterable of masks.

    Raises
    ------
    ValueError
        If the masks differ in height or width.
    """
    runs = [[coco.encode(np.asfortranarray(mask).view(np.uint8)) for mask in masks] for masks in (pred, gt)]
    sizes = {tuple(mask["size"]) for side in runs for mask in side}
    if len(sizes) > 1:
        raise ValueError(f"Masks to compare need one shape (H, W); got {', '.join(map(str, sorted(sizes)))}.")
    shape = len(runs[0]), len(runs[1])
    return np.asarray(coco.iou(*runs, [False] * shape[1]), np.float64).reshape(shape) if all(shape) else np.zeros(shape)


@dataclass(frozen=True, eq=False)
class Matching:
    """Pairs of predictions and objects.

    Attributes
    ----------
    pred, gt : (M,) int64, indices of the predictions and of their objects. Each index occurs at most once.
    iou : (M,) IoU of the pairs.
    """

    pred: NDArray[np.int64]
    gt: NDArray[np.int64]
    iou: Floats


def match(ious: Floats, threshold: float = 0.5) -> Matching:
    """Pair predictions with objects one to one: as many pairs as possible, and of these the largest sum of IoU.

    Parameters
    ----------
    ious : (P, G) from `pairwise_iou`.
    threshold : float, the IoU that a pair must reach. Masks that do not overlap are never paired.

    References
    ----------
    Kuhn, The Hungarian method for the assignment problem, 1955; solved by `scipy.optimize.linear_sum_assignment`.

    Examples
    --------
    >>> pairs = match(np.array([[0.9, 0.6], [0.7, 0.0]]), threshold=0.5)  # two pairs instead of the best one
    >>> pairs.pred.tolist(), pairs.gt.tolist()
    ([0, 1], [1, 0])
    """
    allowed = (ious >= threshold) & (ious > 0)
    # One more pair is worth more than all the overlap that it may cost.
    worth = np.where(allowed, min(ious.shape) + 1 + ious, 0.0)
    rows, columns = linear_sum_assignment(worth, maximize=True)
    paired = allowed[rows, columns]
    return Matching(rows[paired], columns[paired], ious[rows, columns][paired])


def average_recall(
    ious: Sequence[Floats], scores: Sequence[Floats], limit: int, thresholds: Floats = COCO_THRESHOLDS
) -> float:
    """Return COCO's average recall: the share of objects that the best predictions find, averaged over IoU thresholds.

    Parameters
    ----------
    ious : one matrix (P, G) for each image, from `pairwise_iou`.
    scores : one array (P,) for each image, the scores of its predictions.
    limit : int, how many predictions of an image count: those with the highest scores.
    thresholds : (T,) values of IoU from which an object counts as found.

    Returns
    -------
    float
        From 0 to 1; NaN if there is no object at all.

    References
    ----------
    Lin et al., Microsoft COCO, ECCV 2014; the greedy matching is that of `pycocotools.cocoeval`.
    """
    objects = sum(matrix.shape[1] for matrix in ious)
    if not objects:
        return float("nan")
    matched = np.zeros(len(thresholds))
    for matrix, score in zip(ious, scores, strict=True):
        best = matrix[np.argsort(-score, kind="stable")[:limit]]
        for index, threshold in enumerate(np.minimum(thresholds, 1 - 1e-10)):
            free = np.ones(matrix.shape[1], bool)
            for row in best:
                candidates = np.flatnonzero(free & (row >= threshold))
                if len(candidates):
                    # Of equal values the last one, as in pycocotools.
                    free[candidates[::-1][np.argmax(row[candidates[::-1]])]] = False
            matched[index] += np.count_nonzero(~free)
    return float((matched / objects).mean())


def region_overlap(pred: ArrayLike, gt: ArrayLike) -> float:
    """Return the region overlap: the share of a defect's pixels that is covered, averaged over the defects.

    Parameters
    ----------
    pred : bool (H, W), the union of the predicted masks.
    gt : bool (H, W); its connected components (8 neighbours) are the defects. All have the same weight.

    Returns
    -------
    float
        From 0 to 1; NaN if there is no defect.

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
