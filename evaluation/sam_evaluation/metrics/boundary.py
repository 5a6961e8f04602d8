"""Agreement of two outlines: boundary F-measure and boundary IoU.

Both equal their reference implementations and are computed on the box around the two masks alone: the dilation by a
disk on 64 pixels at a time, one a bit, the erosion by a square as two by lines.
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
"""Share of the image's diagonal: the tolerance of the DAVIS benchmark."""

_BITS = 64
_ONE, _LAST = np.uint64(1), np.uint64(_BITS - 1)


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
    return boundary_fs_of(Pair.of(pred, gt), [tolerance])[0]


def boundary_fs_of(pair: Pair, tolerances: Iterable[float]) -> list[float]:
    """Return `boundary_f` at each of several tolerances of masks that are cut already, for little more than one."""
    reaches = [_reach(tolerance, pair.shape) for tolerance in tolerances]
    outlines = [_outline(mask) for mask in (pair.pred, pair.gt)]
    counts = [int(np.bitwise_count(each).sum()) for each in outlines]
    if not all(counts):
        return [float(not any(counts))] * len(reaches)
    hits = [_hits(at, to, reaches) for at, to in (outlines, outlines[::-1])]
    scores = []
    for matched in zip(*hits, strict=True):
        precision, recall = (found / count for found, count in zip(matched, counts, strict=True))
        scores.append(2 * precision * recall / (precision + recall) if precision + recall else 0.0)
    return scores


def _outline(mask: BoolArray) -> Words:
    """Return the outline of a mask (H, W): pixels that differ from the one right, below, or both.

    In the last row and column only the neighbour that exists is asked, and the last pixel is never part.

    Returns
    -------
    Words
        (H, W / 64, rounded up): column c is bit c % 64 of word c // 64.
    """
    height, width = mask.shape
    # One row and column more: those at the edge once more.
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


def _hits(at: Words, to: Words, reaches: Sequence[float]) -> list[int]:
    """Return for each reach how many pixels set in `at` lie within it of one set in `to`.

    A disk is a stack of lines: the line `rows` above its centre reaches `sqrt(reach^2 - rows^2)` to both sides. So
    `to` is spread along its rows, one column further at a time, and at each width copied up and down to where the disk
    has lines of that width.
    """
    near = [np.zeros_like(at) for _ in reaches]
    lines: dict[int, list[tuple[int, int]]] = {}
    for index, reach in enumerate(reaches):
        square = math.floor(reach * reach)
        for rows in range(min(math.isqrt(square), len(at) - 1) + 1):
            lines.setdefault(min(math.isqrt(square - rows * rows), at.shape[1] * _BITS), []).append((index, rows))
    spread, moved = to.copy(), np.empty_like(to)
    for width in range(max(lines) + 1):
        if width:
            _widen(spread, moved)
        for index, rows in lines.get(width, ()):
            end = len(at) - rows
            near[index][:end] |= spread[rows:]
            near[index][rows:] |= spread[:end]
    return [int(np.bitwise_count(each & at).sum()) for each in near]


def _widen(words: Words, moved: Words) -> None:
    """Set the neighbours to the left and right of all that is set, in place; `moved` is memory of the same shape."""
    np.left_shift(words, _ONE, out=moved)
    moved[:, 1:] |= words[:, :-1] >> _LAST
    moved |= words >> _ONE
    moved[:, :-1] |= words[:, 1:] << _LAST
    words |= moved


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
    return boundary_iou_of(Pair.of(pred, gt), ratio)


def boundary_iou_of(pair: Pair, ratio: float = 0.02) -> float:
    """Return `boundary_iou` of masks that are cut already."""
    if not pair.pred.size:
        return 1.0
    width = max(round(ratio * math.hypot(*pair.shape)), 1)
    bands = [_band(mask, width) for mask in (pair.pred, pair.gt)]
    return int(np.count_nonzero(bands[0] & bands[1])) / int(np.count_nonzero(bands[0] | bands[1]))


def _band(mask: BoolArray, width: int) -> BoolArray:
    """Return the pixels of a mask within `width` of one outside it, counted as a king moves."""
    side = 2 * width + 1
    padded = cv2.copyMakeBorder(mask.view(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    inner = cv2.erode(padded, np.ones((side, side), np.uint8))[1:-1, 1:-1]
    band: BoolArray = mask & (inner == 0)
    return band
