"""Length and width of thin defects, from their skeletons."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike
from skimage.morphology import skeletonize

from sam_evaluation.metrics.mask_pair import as_pair, box_slices


def length(mask: ArrayLike, mm_per_pixel: float = 1.0) -> float:
    """Return the length of a thin mask along its skeleton; 0.0 for an empty one.

    Steps between skeleton pixels count 1 along rows and columns and the square root of 2 along diagonals (a diagonal
    step around a corner of the skeleton is not counted beside the two straight ones), plus one pixel for the ends.

    Parameters
    ----------
    mask : bool (H, W).
    mm_per_pixel : size of a pixel; the result is in pixels where it is 1.

    References
    ----------
    Zhang and Suen, A fast parallel algorithm for thinning digital patterns, Communications of the ACM 1984.

    Examples
    --------
    >>> line = np.zeros((5, 12), bool)
    >>> line[2, 1:11] = True
    >>> length(line)
    10.0
    """
    found, _ = as_pair(mask, mask)
    box = box_slices(found)
    if box is None:
        return 0.0
    thin = np.pad(skeletonize(np.pad(found[box], 1)), 1)
    here, right, below = thin[:-1, :-1], thin[:-1, 1:], thin[1:, :-1]
    beyond = thin[1:, 1:]
    straight = np.count_nonzero(here & right) + np.count_nonzero(here & below)
    falling = np.count_nonzero(here & beyond & ~right & ~below)
    rising = np.count_nonzero(right & below & ~here & ~beyond)
    return (float(straight) + math.sqrt(2) * float(falling + rising) + 1) * mm_per_pixel


def width(mask: ArrayLike, mm_per_pixel: float = 1.0) -> float:
    """Return the mean width of a thin mask: its area over its length; 0.0 for an empty one.

    Parameters
    ----------
    mask : bool (H, W).
    mm_per_pixel : size of a pixel; the result is in pixels where it is 1.

    Examples
    --------
    >>> line = np.zeros((5, 12), bool)
    >>> line[1:4, 1:11] = True
    >>> round(width(line), 2)
    3.19
    """
    found, _ = as_pair(mask, mask)
    along = length(found)
    return int(np.count_nonzero(found)) / along * mm_per_pixel if along else 0.0
