"""How well objects are followed through a video: DAVIS's J and F, and switches of identity."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from sam_evaluation.metrics.boundary import boundary_fs_of
from sam_evaluation.metrics.detection import match
from sam_evaluation.metrics.mask_pair import BoolArray, Pair
from sam_evaluation.metrics.region import iou_of

DAVIS_TOLERANCE = 0.008


def region_and_boundary(pred: BoolArray, gt: BoolArray, void: BoolArray | None = None) -> tuple[float, float]:
    """Return J, the IoU, and F, the boundary F-measure, of an object in one frame.

    DAVIS averages each over the frames of an object without the first and the last, then over all objects of all
    sequences; J&F is the mean of the two.

    Parameters
    ----------
    pred, gt : bool (H, W); both may be empty, which counts as right (1.0).
    void : bool (H, W), pixels that do not count; None for none.

    References
    ----------
    Perazzi et al., A Benchmark Dataset and Evaluation Methodology for Video Object Segmentation, CVPR 2016; Pont-Tuset
    et al., The 2017 DAVIS Challenge on Video Object Segmentation, 2017.

    Examples
    --------
    >>> gt = np.zeros((20, 20), bool)
    >>> gt[5:15, 5:15] = True
    >>> region_and_boundary(np.roll(gt, 1, axis=1), gt)  # 90 of 110 pixels, every outline pixel within one pixel
    (0.8181818181818182, 1.0)
    """
    if void is not None:
        pred, gt = pred & ~void, gt & ~void
    pair = Pair.of(pred, gt)
    return iou_of(pair), boundary_fs_of(pair, [DAVIS_TOLERANCE])[0]


def identity_switches(ious: Iterable[NDArray[np.float64]], threshold: float = 0.5) -> int:
    """Return how often an object is found under another identity than where it was found before, MOTA's IDSW.

    In each frame, an object keeps the track that it had last, if their IoU still reaches `threshold`; the other objects
    and tracks are paired so that as many pairs as possible reach it. A switch is an object that is paired with another
    track than the last time it was paired, however many frames lie between.

    Parameters
    ----------
    ious : for each frame the IoU (P, G) of each of P tracks with each of G objects; 0 where either is not visible. The
        rows and columns mean the same tracks and objects in all frames.
    threshold : float, the least IoU of a pair.

    References
    ----------
    Bernardin and Stiefelhagen, Evaluating Multiple Object Tracking Performance: The CLEAR MOT Metrics, 2008, sections
    2.1.3 and 2.1.4; Milan et al., MOT16, 2016, section 4.1.3.

    Examples
    --------
    >>> right, crossed = np.eye(2), np.eye(2)[::-1]
    >>> identity_switches([right, np.zeros((2, 2)), crossed, crossed])
    2
    """
    last: dict[int, int] = {}
    switches = 0
    for frame in ious:
        free = np.where(frame >= threshold, frame, 0.0)
        pairs: dict[int, int] = {}
        for gt, pred in last.items():
            if free[pred, gt] > 0:
                pairs[gt] = pred
                free[pred], free[:, gt] = 0, 0
        matching = match(free, threshold)
        for pred, gt in zip(matching.pred.tolist(), matching.gt.tolist(), strict=True):
            switches += gt in last and last[gt] != pred
            pairs[gt] = pred
        last |= pairs
    return switches
