"""Mask -> rings, ellipses and rectangles in per cent, the shapes that Label Studio draws."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from sam_backend.arrays import BoolArray
from sam_backend.samples import Cropped

# A component smaller than this share of the largest component is a speck, not a part of the object.
SPECK_FRACTION = 0.01
TOLERANCE = 1.0
"""Pixels by which a ring is simplified."""

LEAST_TOLERANCE = 0.25
"""Pixels; where a finer tolerance would be needed, every corner is kept."""

RING_IOU = 0.9
"""The least IoU of a ring with its component."""

MOST_HOLES = 100
"""Most holes that a ring goes around, the largest ones."""

SHORTEST_SLITS = 100
"""Rings that are joined through the shortest slits."""

Ring = list[tuple[float, float]]


@dataclass(frozen=True)
class Ellipse:
    """An ellipse in per cent.

    Attributes
    ----------
    x, y : float, the centre, in per cent of the image's width and height.
    radius_x, radius_y : float, the radii along the ellipse's own axes; `radius_x` is in per cent of the image's width
        and `radius_y` of its height, whatever the rotation.
    rotation : float, degrees clockwise.
    """

    x: float
    y: float
    radius_x: float
    radius_y: float
    rotation: float


@dataclass(frozen=True)
class Rectangle:
    """An upright rectangle in per cent, by its top left corner."""

    x: float
    y: float
    width: float
    height: float


def without_specks(mask: Cropped) -> Cropped:
    """Return a non-empty mask without components (8-connected) smaller than `SPECK_FRACTION` of the largest."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.part.astype(np.uint8), connectivity=8)
    if count <= 2:
        return mask
    areas = stats[1:, cv2.CC_STAT_AREA]
    kept = np.concatenate([[False], areas >= SPECK_FRACTION * areas.max()])
    return Cropped.of_part(kept[labels], mask.corner, mask.size)


def rings(mask: Cropped, tolerance: float = TOLERANCE) -> list[Ring]:
    """Return `pixel_rings` in per cent: Label Studio's polygons, which have no holes of their own."""
    height, width = mask.size
    scale = np.array((100 / width, 100 / height))
    # Four decimals of a per cent are a tenth of a pixel in an image that is 100,000 pixels wide.
    return [(ring * scale).round(4).tolist() for ring in pixel_rings(mask, tolerance)]


def pixel_rings(
    mask: Cropped, tolerance: float = TOLERANCE, least_iou: float = RING_IOU, most_holes: int | None = MOST_HOLES
) -> list[NDArray[np.float64]]:
    """Return one ring for each component (8-connected) of a non-empty mask, the largest first.

    A ring runs along the edges of pixels, so that even a line of single pixels has an area. It is simplified (Douglas
    and Peucker) by at most `tolerance` pixels, or by less if its IoU with what it surrounds would fall below
    `least_iou`. Holes are filled, the small ones first, as long as the component is at least `least_iou` of the filled
    one. To a hole that is left, the ring goes through a slit without width.

    Parameters
    ----------
    mask : Cropped, not empty.
    tolerance : float, in pixels, 0 or more; 0 keeps every corner.
    least_iou : float, in [0, 1].
    most_holes : int, of more holes of a component, the smaller ones are filled too; None for no limit.

    Returns
    -------
    list of (N, 2) float64, x and y in pixels of the image.
    """
    # On a lattice of half pixels, a pixel is a block of 3 x 3 knots, and its outer knots are the pixel's corners.
    # Therefore a contour through the outermost knots runs along the edges of pixels.
    rows, columns = mask.part.shape
    knots = np.zeros((2 * rows + 1, 2 * columns + 1), np.uint8)
    knots[1::2, 1::2] = mask.part
    knots = cv2.dilate(knots, np.ones((3, 3), np.uint8))
    contours, levels = cv2.findContours(knots, cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE)
    inside: dict[int, list[int]] = {}
    for index, parent in enumerate(levels[0, :, 3].tolist()):
        inside.setdefault(parent, []).append(index)
    areas = [cv2.contourArea(contour) for contour in contours]
    outer, found = inside[-1], list[tuple[float, NDArray[np.float64]]]()
    for index in outer:
        ring: NDArray[np.int32] = _simplified(contours[index], tolerance, least_iou).reshape(-1, 2)
        left = (1 - least_iou) * areas[index]
        holes = sorted(inside.get(index, ()), key=areas.__getitem__)
        kept = []
        for number, hole in enumerate(holes, (len(holes) if most_holes is None else most_holes) - len(holes)):
            left -= areas[hole]
            if left < 0 <= number:
                kept.append(_simplified(contours[hole], tolerance, least_iou).reshape(-1, 2))
                # What lies in a filled hole has no ring of its own.
                outer += inside.get(hole, ())
        found.append((areas[index], joined([ring, *reversed(kept)]) / 2 + mask.corner[::-1]))
    return [ring for _, ring in sorted(found, key=lambda pair: -pair[0])]


def bounding_rectangle(mask: Cropped) -> Rectangle:
    """Return the bounding rectangle of a non-empty mask, from the first pixel to the end of the last one."""
    (height, width), (y, x), (rows, columns) = mask.size, mask.corner, mask.part.shape
    return Rectangle(x / width * 100, y / height * 100, columns / width * 100, rows / height * 100)


def fitted_ellipse(mask: Cropped) -> Ellipse:
    """Return the ellipse with the same centre and second moments as a non-empty mask.

    A radius is twice the standard deviation along its axis. A pixel is a unit square, which adds 1/12 to the variances.
    So the ellipse of an elliptical mask has the same radii, and that of a single pixel about the size of the pixel.
    """
    ys, xs = np.nonzero(mask.part)
    height, width = mask.size
    centre = mask.corner[1] + xs.mean() + 0.5, mask.corner[0] + ys.mean() + 0.5
    covariance = np.cov(np.stack([xs, ys]), bias=True) + np.eye(2) / 12
    variances, axes = np.linalg.eigh(covariance)
    # The axis that is closer to the horizontal is x, so the rotation is small and the radius is a share of the width.
    first = int(np.argmax(np.abs(axes[0])))
    along = axes[:, first] * (1 if axes[0, first] >= 0 else -1)
    radii = 2 * np.sqrt(variances[[first, 1 - first]])
    return Ellipse(
        x=centre[0] / width * 100,
        y=centre[1] / height * 100,
        # Label Studio allows at most half the image.
        radius_x=min(50.0, float(radii[0]) / width * 100),
        radius_y=min(50.0, float(radii[1]) / height * 100),
        rotation=float(np.degrees(np.arctan2(along[1], along[0]))) % 360,
    )


def joined(rings: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Return one ring around several ones, parts or holes, through slits without width.

    Inside is what the even-odd rule says. A slit is the shortest way between two corners; from the ring number
    `SHORTEST_SLITS` on, which would take too long, a slit begins at the first corner of all.

    Parameters
    ----------
    rings : at least one (N, 2), the largest first.
    """
    whole = rings[0]
    for other in rings[1:SHORTEST_SLITS]:
        gaps, nearest = cKDTree(whole).query(other)
        end = int(np.argmin(gaps))
        start = int(np.asarray(nearest)[end])
        around = np.roll(other, -end, axis=0)
        whole = np.concatenate([whole[: start + 1], around, around[:1], whole[start:]])
    first = whole[:1]
    pieces = [piece for other in rings[SHORTEST_SLITS:] for piece in (first, other, other[:1])]
    return np.concatenate([whole, *pieces]) if pieces else whole


def _simplified(contour: NDArray[np.int32], tolerance: float, least_iou: float) -> NDArray[np.int32]:
    """Remove the points of a contour on the half-pixel lattice that hardly change its shape."""
    filled = _filled(contour, contour)
    while tolerance >= LEAST_TOLERANCE:
        simple: NDArray[np.int32] = cv2.approxPolyDP(contour, 2 * tolerance, closed=True)
        if len(simple) > 2:
            drawn = _filled(simple, contour)
            if np.count_nonzero(drawn & filled) >= least_iou * np.count_nonzero(drawn | filled):
                return simple
        tolerance *= 0.75
    return contour


def _filled(ring: NDArray[np.int32], frame: NDArray[np.int32]) -> BoolArray:
    """Rasterise a ring on the half-pixel lattice to the pixels whose centres it encloses, within the frame's bounds."""
    x, y, width, height = cv2.boundingRect(frame)
    knots = np.zeros((height, width), np.uint8)
    cv2.fillPoly(knots, [ring - (x, y)], 1)
    return knots[1::2, 1::2].astype(bool)
