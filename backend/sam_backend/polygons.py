"""Outlines -> masks, by one convention for all formats that do not define one.

Coordinates are continuous: (0, 0) is the image's top left corner and (W, H) its bottom right one, so that pixel
(row, column) is the unit square from (column, row) to (column + 1, row + 1). A pixel belongs to a mask if its centre
(column + 0.5, row + 0.5) lies inside the outline. A centre exactly on a polygon's outline belongs to the mask if the
inside is to the right of it or below it. So a rectangle of whole pixels covers exactly these pixels, polygons with a
common edge share no pixel, and a shape thinner than a pixel may cover none. Everything outside the image is cut off.

OpenCV paints every pixel that the outline touches, half a pixel too much on each side. scikit-image tests each pixel
against each edge, which takes minutes for the large outlines of tools that trace masks.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from sam_backend.arrays import BoolArray

_CROSSINGS_AT_ONCE = 2**20
"""Pixels or crossings that are computed at once, so that large shapes take little memory."""


def polygon_mask(points: ArrayLike, size: tuple[int, int]) -> BoolArray:
    """Return the inside of a closed ring, by the even-odd rule where it crosses itself.

    Parameters
    ----------
    points : (N, 2) finite x and y in pixels; the last point is joined to the first. Fewer than three enclose nothing.
    size : (H, W) of the mask in pixels.
    """
    height, width = size
    start = np.asarray(points, np.float64).reshape(-1, 2)
    edges = np.stack([start, np.roll(start, -1, axis=0)], axis=1)
    # All edges run from top to bottom, so that two polygons cut a common edge at the same places.
    edges = np.take_along_axis(edges, np.argsort(edges[:, :, 1], axis=1, kind="stable")[:, :, None], axis=1)
    # The rows whose centres an edge passes.
    first, stop = np.ceil(edges[:, :, 1] - 0.5).clip(0, height).astype(np.int64).T
    ends = np.cumsum(stop - first)
    turns = np.zeros((height, width + 1), np.bool_)
    begin = 0
    while begin < len(edges):
        # A few edges at a time: many long edges pass more rows than the mask has pixels.
        before = int(ends[begin - 1]) if begin else 0
        end = max(begin + 1, int(np.searchsorted(ends, before + _CROSSINGS_AT_ONCE, "right")))
        count = stop[begin:end] - first[begin:end]
        edge = np.repeat(np.arange(begin, end), count)
        row = np.arange(len(edge)) + np.repeat(first[begin:end] - np.cumsum(count) + count, count)
        (x0, y0), (x1, y1) = edges[edge, 0].T, edges[edge, 1].T
        crossing = x0 + (row + 0.5 - y0) * (x1 - x0) / (y1 - y0)
        column = np.ceil(crossing - 0.5).clip(0, width).astype(np.int64)
        np.logical_xor.at(turns, (row, column), True)
        begin = end
    inside: BoolArray = np.logical_xor.accumulate(turns, axis=1, out=turns)[:, :width]
    return inside


def rectangle_mask(box: tuple[float, float, float, float], size: tuple[int, int], rotation: float = 0.0) -> BoolArray:
    """Return a filled rectangle.

    Parameters
    ----------
    box : x, y, width, height in pixels.
    size : (H, W) of the mask in pixels.
    rotation : float, clockwise about the corner (x, y), in degrees.
    """
    x, y, width, height = box
    corners = np.array([(0, 0), (width, 0), (width, height), (0, height)], np.float64)
    if rotation:
        cosine, sine = math.cos(math.radians(rotation)), math.sin(math.radians(rotation))
        corners = corners @ np.array([(cosine, sine), (-sine, cosine)])
    return polygon_mask(corners + np.array([x, y]), size)


def ellipse_mask(
    centre: tuple[float, float], radii: tuple[float, float], size: tuple[int, int], rotation: float = 0.0
) -> BoolArray:
    """Return an ellipse; the centre of a pixel exactly on its outline is outside.

    Parameters
    ----------
    centre : x and y in pixels.
    radii : the two radii in pixels, along the ellipse's own axes.
    size : (H, W) of the mask in pixels.
    rotation : float, clockwise about the centre, in degrees.
    """
    mask = np.zeros(size, np.bool_)
    if min(radii) <= 0:
        return mask
    reach = max(radii)
    # Only the square around it is computed: images are large and defects small.
    (top, bottom), (left, right) = (
        (max(math.floor(middle - reach), 0), max(min(math.ceil(middle + reach), side), 0))
        for middle, side in zip(centre[::-1], size, strict=True)
    )
    cosine, sine = math.cos(math.radians(rotation)), math.sin(math.radians(rotation))
    dx = np.arange(left, right)[None, :] + 0.5 - centre[0]
    rows_at_once = max(_CROSSINGS_AT_ONCE // max(right - left, 1), 1)
    for start in range(top, bottom, rows_at_once):
        stop = min(start + rows_at_once, bottom)
        dy = np.arange(start, stop)[:, None] + 0.5 - centre[1]
        along, across = dx * cosine + dy * sine, dy * cosine - dx * sine
        mask[start:stop, left:right] = (along / radii[0]) ** 2 + (across / radii[1]) ** 2 < 1
    return mask
