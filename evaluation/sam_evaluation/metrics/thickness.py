"""Length and width of thin defects, from their skeletons."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike
from skimage.morphology import skeletonize

from sam_evaluation.metrics.mask_pair import as_pair, box_slices


def length(mask: ArrayLike) -> float:
    """Return the length of a thin mask along its skeleton, in pixels.

    A step between two skeleton pixels counts 1 along rows and columns and the square root of 2 along diagonals. A
    diagonal step around a corner of the skeleton does not count beside the two straight steps. One pixel is added for
    the two ends.

    Parameters
    ----------
    mask : bool (H, W).

    Returns
    -------
    float
        0.0 for an empty mask.

    Raises
    ------
    ValueError
        If the mask is not two-dimensional.

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
    pixels, _ = as_pair(mask, mask)
    box = box_slices(pixels)
    if box is None:
        return 0.0
    thin = np.pad(skeletonize(np.pad(pixels[box], 1)), 1)
    here, right, below = thin[:-1, :-1], thin[:-1, 1:], thin[1:, :-1]
    beyond = thin[1:, 1:]
    straight = np.count_nonzero(here & right) + np.count_nonzero(here & below)
    falling = np.count_nonzero(here & beyond & ~right & ~below)
    rising = np.count_nonzero(right & below & ~here & ~beyond)
    return float(straight) + math.sqrt(2) * float(falling + rising) + 1


def width(mask: ArrayLike) -> float:
    """Return the mean width of a thin mask, in pixels: its area divided by its length.

    Parameters
    ----------
    mask : bool (H, W).

    Returns
    -------
    float
        0.0 for an empty mask.

    Raises
    ------
    ValueError
        If the mask is not two-dimensional.

    Examples
    --------
    >>> line = np.zeros((5, 12), bool)
    >>> line[1:4, 1:11] = True
    >>> round(width(line), 2)  # 30 pixels; the skeleton is 8 + sqrt(2) long
    3.19
    """
    pixels, _ = as_pair(mask, mask)
    along = length(pixels)
    return int(np.count_nonzero(pixels)) / along if along else 0.0
