"""One primitive each on masks: the box around one, its depths and deepest point, the IoU of two."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from sam_backend.arrays import BoolArray, FloatArray


def mask_box(mask: BoolArray) -> tuple[int, int, int, int] | None:
    """Return the smallest box around a mask.

    Parameters
    ----------
    mask : bool (H, W).

    Returns
    -------
    tuple or None
        x0, y0, x1, y1 in pixels, half-open; None for an empty mask.

    Examples
    --------
    >>> mask_box(np.array([[False, False], [False, True]]))
    (1, 1, 2, 2)
    """
    left, top, width, height = cv2.boundingRect(np.ascontiguousarray(mask).view(np.uint8)) if mask.size else (0,) * 4
    return (left, top, left + width, top + height) if width else None


def mask_depths(mask: BoolArray) -> tuple[FloatArray, tuple[int, int]] | None:
    """Return how far each pixel of a mask is from the outside, inside the mask's box only.

    Parameters
    ----------
    mask : bool (H, W). The image's edge counts as outside.

    Returns
    -------
    tuple or None
        The Euclidean distances float32 (h, w) in pixels, 0 outside the mask, and x, y of the box's first pixel; None
        for an empty mask.
    """
    box = mask_box(mask)
    if box is None:
        return None
    left, top, right, bottom = box
    padded = np.pad(mask[top:bottom, left:right], 1).view(np.uint8)
    return distances_to_outside(padded)[1:-1, 1:-1], (left, top)


def distances_to_outside(inside: NDArray[np.uint8]) -> FloatArray:
    """Return the Euclidean distance float32 (H, W) in pixels of each pixel to the nearest one that is 0.

    The last bit of OpenCV's distances depends on where the array lies in memory, and would choose among equally deep
    pixels. Squared distances on a grid are whole numbers; rounding them makes the distances exact.

    Parameters
    ----------
    inside : uint8 (H, W).
    """
    distances: FloatArray = cv2.distanceTransform(inside, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    np.multiply(distances, distances, out=distances)
    np.rint(distances, out=distances)
    np.sqrt(distances, out=distances)
    return distances


def deepest_point(mask: BoolArray) -> tuple[int, int]:
    """Return the pixel of a mask that is farthest from everything outside it; the topmost, leftmost of equals.

    Parameters
    ----------
    mask : bool (H, W), not empty. The image's edge counts as outside.

    Returns
    -------
    tuple
        x, y in pixels.

    Raises
    ------
    ValueError
        If the mask is empty.

    Examples
    --------
    >>> deepest_point(np.pad(np.ones((3, 3), bool), 1))
    (2, 2)
    """
    found = mask_depths(mask)
    if found is None:
        raise ValueError("An empty mask has no deepest point.")
    depths, (left, top) = found
    row, column = np.unravel_index(int(np.argmax(depths)), depths.shape)
    return left + int(column), top + int(row)


def mask_iou(one: BoolArray, other: BoolArray) -> float:
    """Return the intersection over union of two masks of one shape, in [0, 1]; 1 where both are empty.

    Examples
    --------
    >>> mask_iou(np.array([[True, True, False]]), np.array([[False, True, True]]))
    0.3333333333333333
    """
    union = int(np.count_nonzero(one | other))
    return int(np.count_nonzero(one & other)) / union if union else 1.0
