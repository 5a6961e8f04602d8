"""Agreement of two outlines: boundary F-measure and boundary IoU.

Both give the same numbers as their reference implementations. They are computed only on the box around the two masks.
The dilation by a disk handles 64 pixels at a time, one per bit.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from sam_evaluation.metrics.mask_pair import BoolArray, Pair

Words = NDArray[np.uint64]

DAVIS_TOLERANCE = 0.008
"""The tolerance of the DAVIS benchmark, as a share of the image's diagonal."""

_BITS = 64
_ONE, _LAST = np.uint64(1), np.uint64(_BITS - 1)


def boundary_f(pred: ArrayLike, gt: ArrayLike, tolerance: float = DAVIS_TOLERANCE) -> float:
    """Return the boundary F-measure of two masks, from 0 to 1, as DAVIS defines it.

    It is the harmonic mean of precision and recall. Precision is the share of the predicted outline that lies within
    `tolerance` of the true outline; recall is the same with the two outlines exchanged.

    Parameters
    ----------
    pred, gt : bool (H, W).
    tolerance : float. Below 1, a share of the image's diagonal, rounded up to whole pixels; from 1, pixels.

    Returns
    -------
    float
        1.0 if neither mask has an outline (both are empty or full), 0.0 if only one has.

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
    return boundary_fs_of(Pair.of(pred, gt), [tolerance])[0]


def boundary_fs_of(pair: Pair, tolerances: Iterable[float]) -> list[float]:
    """Return `boundary_f` of a pair of masks at each of several tolerances; this costs little more than one."""
    reaches = [_reach(tolerance, pair.shape) for tolerance in tolerances]
    outlines = [_outline(mask) for mask in (pair.pred, pair.gt)]
    counts = [int(np.bitwise_count(outline).sum()) for outline in outlines]
    if not all(counts):
        return [float(not any(counts))] * len(reaches)
    hits = [_hits(start, end, reaches) for start, end in (outlines, outlines[::-1])]
    scores = []
    for matched in zip(*hits, strict=True):
        precision, recall = (hit / count for hit, count in zip(matched, counts, strict=True))
        scores.append(2 * precision * recall / (precision + recall) if precision + recall else 0.0)
    return scores


def _outline(mask: BoolArray) -> Words:
    """Return the outline of a mask (H, W): the pixels that differ from their right, lower or lower right neighbour.

    In the last row and column only the neighbour that exists counts. The last pixel is never part of the outline.

    Returns
    -------
    Words
        (H, ceil(W / 64)): column c is bit c % 64 of word c // 64.
    """
    height, width = mask.shape
    # One more row and column, which repeat the edge.
    padded = np.zeros((height + 1, -(-(width + 1) // _BITS) * _BITS), bool)
    padded[:height, :width] = mask
    padded[height] = padded[max(height - 1, 0)]
    padded[:, width] = padded[:, max(width - 1, 0)]
    words = np.packbits(padded, axis=1, bitorder="little").view("<u8")
    right = words >> _ONE
    right[:, :-1] |= words[:, 1:] << _LAST
    here = words[:-1]
    edge: Words = (here ^ right[:-1]) | (here ^ words[1:]) | (here ^ right[1:])
    edge[:, width // _BITS] &= np.uint64((1 << width % _BITS) - 1)
    return edge


def _reach(tolerance: float, shape: tuple[int, ...]) -> float:
    return tolerance if tolerance >= 1 else math.ceil(tolerance * math.hypot(*shape))


def _hits(start: Words, end: Words, reaches: Sequence[float]) -> list[int]:
    """Return, for each reach, how many pixels of `start` lie within that distance of a pixel of `end`.

    A disk is a stack of lines. The line `rows` above the centre extends `sqrt(reach^2 - rows^2)` pixels to both sides.
    So `end` is widened along its rows, one column at a time. At each width it is copied up and down to the rows in
    which the disk has lines of that width.
    """
    near = [np.zeros_like(start) for _ in reaches]
    lines: dict[int, list[tuple[int, int]]] = {}
    for index, reach in enumerate(reaches):
        square = math.floor(reach * reach)
        for rows in range(min(math.isqrt(square), len(start) - 1) + 1):
            lines.setdefault(min(math.isqrt(square - rows * rows), start.shape[1] * _BITS), []).append((index, rows))
    spread, moved = end.copy(), np.empty_like(end)
    for width in range(max(lines) + 1):
        if width:
            _widen(spread, moved)
        for index, rows in lines.get(width, ()):
            kept = len(start) - rows
            near[index][:kept] |= spread[rows:]
            near[index][rows:] |= spread[:kept]
    return [int(np.bitwise_count(covered & start).sum()) for covered in near]


def _widen(words: Words, moved: Words) -> None:
    """Set the left and right neighbours of all set pixels, in place; `moved` is memory of the same shape."""
    np.left_shift(words, _ONE, out=moved)
    moved[:, 1:] |= words[:, :-1] >> _LAST
    moved |= words >> _ONE
    moved[:, :-1] |= words[:, 1:] << _LAST
    words |= moved


def boundary_iou(pred: ArrayLike, gt: ArrayLike, ratio: float = 0.02) -> float:
    """Return the boundary IoU of two masks, from 0 to 1: the IoU of the bands along the inner sides of their outlines.

    Parameters
    ----------
    pred, gt : bool (H, W).
    ratio : float, the width of the bands as a share of the image's diagonal; the width is at least one pixel.

    Returns
    -------
    float
        1.0 if both masks are empty. The image's edge counts as outline, so a full mask has a band.

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
    return boundary_iou_of(Pair.of(pred, gt), ratio)


def boundary_iou_of(pair: Pair, ratio: float = 0.02) -> float:
    """Return `boundary_iou` of a pair of masks."""
    if not pair.pred.size:
        return 1.0
    width = max(round(ratio * math.hypot(*pair.shape)), 1)
    bands = [_band(mask, width) for mask in (pair.pred, pair.gt)]
    return int(np.count_nonzero(bands[0] & bands[1])) / int(np.count_nonzero(bands[0] | bands[1]))


def _band(mask: BoolArray, width: int) -> BoolArray:
    """Return the pixels of a mask within `width` of the outside, in Chebyshev distance."""
    side = 2 * width + 1
    padded = cv2.copyMakeBorder(mask.view(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    inner = cv2.erode(padded, np.ones((side, side), np.uint8))[1:-1, 1:-1]
    band: BoolArray = mask & (inner == 0)
    return band
