"""Outlines that an annotator drew as prompts: rectangles, ellipses, polygons and vectors."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sam_backend.arrays import FloatArray
from sam_backend.errors import BadRequestError, BrokenSampleError, brief
from sam_backend.labelstudio.region_masks import ring_mask
from sam_backend.samples import Cropped

MAX_POINTS = 10_000
"""Most points of a polygon or a vector."""

_FARTHEST = 1e6
"""Largest coordinate or rotation that is read, in per cent or degrees."""


@dataclass(frozen=True)
class Outline:
    """A rectangle, an ellipse or a polygon: points in per cent, rotated clockwise by `rotation` degrees.

    Attributes
    ----------
    points : of its corners, or of a line around it.
    rotation, pivot : float in degrees, and the point that it is turned about.
    is_line : bool, whether it is a line, which encloses nothing.
    """

    points: tuple[tuple[float, float], ...]
    rotation: float = 0.0
    pivot: tuple[float, float] = (0.0, 0.0)
    is_line: bool = False

    @property
    def is_box(self) -> bool:
        """Whether its bounds say all."""
        return self.is_line or (len(self.points) == 4 and self.rotation % 90 == 0 and _is_upright(self.points))

    def bounds(self, size: tuple[int, int]) -> FloatArray:
        """Return the axis-aligned bounds, xyxy in pixels, within an image of `size` (H, W).

        The rotation is in pixels, not in per cent, so the bounds depend on the image's shape.

        Raises
        ------
        BadRequestError
            If the outline lies completely outside the image.
        """
        height, width = size
        points = self._in_pixels(size)
        box = np.concatenate([points.min(axis=0), points.max(axis=0)])
        clipped: FloatArray = box.clip(0, (width, height, width, height)).astype(np.float32)
        if clipped[2] <= clipped[0] or clipped[3] <= clipped[1]:
            raise BadRequestError(
                f"The box must overlap the image of {width} x {height} pixels; "
                f"it spans x {box[0]:.1f} to {box[2]:.1f} and y {box[1]:.1f} to {box[3]:.1f}."
            )
        return clipped

    def inside(self, size: tuple[int, int]) -> Cropped:
        """Return the pixels that it encloses in an image of `size` (H, W); none where it is thinner than a pixel.

        Raises
        ------
        BadRequestError
            If it runs across the image again and again.
        """
        try:
            return ring_mask(self._in_pixels(size), size, "The outline")
        except BrokenSampleError as error:
            raise BadRequestError(str(error)) from None

    def _in_pixels(self, size: tuple[int, int]) -> NDArray[np.float64]:
        """Return its points (N, 2), turned, xy in pixels of an image of `size` (H, W)."""
        scale = np.array(size[::-1]) / 100
        pivot = np.array(self.pivot) * scale
        angle = math.radians(self.rotation)
        turn = np.array([(math.cos(angle), math.sin(angle)), (-math.sin(angle), math.cos(angle))])
        turned: NDArray[np.float64] = (np.array(self.points) * scale - pivot) @ turn + pivot
        return turned


def read_outline(value: Mapping[str, Any], shape: str) -> Outline:
    """Return a drawn outline; a box drawn to the left or upwards has a negative size, and is the same box.

    Raises
    ------
    BadRequestError
        If the value lacks a coordinate, or what was drawn has no size.
    """
    what = f"An {shape}" if shape == "ellipse" else f"A {shape}"
    rotation = number_of(value, "rotation", what, 0.0) if value.get("rotation") is not None else 0.0
    if shape in ("polygon", "vector"):
        corners = _corners(value, shape, what)
        if shape == "polygon" and len(set(corners)) < 3:
            raise BadRequestError(f"{what} needs at least three points; it has {len(set(corners))}. Draw it again.")
        outline = Outline(corners, is_line=shape == "vector")
    elif shape == "ellipse":
        x, y, a, b = (number_of(value, name, what) for name in ("x", "y", "radiusX", "radiusY"))
        angles = np.linspace(0, 2 * math.pi, 360, endpoint=False).tolist()
        around = tuple((x + a * math.cos(angle), y + b * math.sin(angle)) for angle in angles)
        outline = Outline(around if a and b else (), rotation, (x, y))
    else:
        x, y, width, height = (number_of(value, name, what) for name in ("x", "y", "width", "height"))
        corners = ((x, y), (x + width, y), (x + width, y + height), (x, y + height))
        outline = Outline(corners if width and height else (), rotation, (x, y))
    if not outline.points or not all(len(set(axis)) > 1 for axis in zip(*outline.points, strict=True)):
        raise BadRequestError(f"{what} needs a width and a height; it has none. Draw it again, a little larger.")
    return outline


def _is_upright(points: Sequence[tuple[float, float]]) -> bool:
    return all(any(one == other for one, other in zip(*pair, strict=True)) for pair in pairwise((*points, points[0])))


def _corners(value: Mapping[str, Any], shape: str, what: str) -> tuple[tuple[float, float], ...]:
    """Return the points of a polygon, or the vertices of a vector."""
    points = value.get("points" if shape == "polygon" else "vertices")
    if isinstance(points, list) and len(points) > MAX_POINTS:
        raise BadRequestError(f"{what} may have {MAX_POINTS} points as a prompt; it has {len(points)}.")
    if shape == "polygon" and isinstance(points, list):
        pairs = [isinstance(point, list | tuple) and len(point) == 2 for point in points]
        points = [{"x": point[0], "y": point[1]} for point in points] if all(pairs) else None
    if not isinstance(points, list) or not all(isinstance(point, Mapping) for point in points):
        raise BadRequestError(f"{what} needs a list of points, each x and y; got {brief(value.get('points'))}.")
    return tuple((number_of(point, "x", what), number_of(point, "y", what)) for point in points)


def number_of(value: Mapping[str, Any], name: str, what: str, default: float | None = None) -> float:
    """Return a number of a region's value.

    Raises
    ------
    BadRequestError
        If it is missing and has no `default`, or is no number; the sentence begins with `what`.
    """
    number = value.get(name, default)
    if isinstance(number, bool) or not isinstance(number, int | float) or not abs(number) <= _FARTHEST:
        raise BadRequestError(f"{what} needs a number for '{name}', in per cent of the image; got {brief(number)}.")
    return float(number)
