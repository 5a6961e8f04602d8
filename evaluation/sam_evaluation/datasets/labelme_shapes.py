"""Labelme's shapes -> masks, with those of its relatives, such as X-AnyLabeling."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, FiniteFloat

from sam_backend.arrays import BoolArray
from sam_backend.polygons import ellipse_mask, polygon_mask
from sam_backend.validation import checked
from sam_evaluation.datasets.embedded import embedded_png
from sam_evaluation.datasets.tally import OddShapeError
from sam_evaluation.errors import BrokenSampleError

WITHOUT_AREA = ("line", "linestrip", "point", "points")
_CORNERS = ("rectangle", "oriented_rectangle", "rotation", "quadrilateral")
_KNOWN = ("polygon", *_CORNERS, "circle", "mask", *WITHOUT_AREA)

_FAR = 1e7
"""The largest coordinate in pixels: no image is so large, and larger numbers lose their fractions."""


class Shape(BaseModel, frozen=True):
    """One shape; `points` are x and y in pixels, and their meaning depends on `shape_type`."""

    label: str | float | int | bool | None
    points: list[tuple[FiniteFloat, FiniteFloat]]
    shape_type: str | None = None
    group_id: int | str | float | None = None
    mask: str | None = None

    @property
    def kind(self) -> str:
        """The type in small letters; old files have none."""
        return (self.shape_type or "polygon").lower()

    @property
    def name(self) -> str:
        """The label as text: converters write numbers, too."""
        if self.label is None or self.label == "":
            return "unlabelled"
        return f"{self.label:g}" if isinstance(self.label, float) else str(self.label)


def read_shape(data: Any, what: str) -> Shape:
    """Check one shape; `what` names it at the beginning of a sentence.

    Raises
    ------
    OddShapeError
        If it is not as the format says.
    """
    try:
        shape = checked(Shape, data, what)
    except BrokenSampleError as error:
        raise OddShapeError("shape that is not as the format says", str(error)) from None
    if any(abs(value) > _FAR for point in shape.points for value in point):
        raise OddShapeError(
            "shape with a coordinate above 10,000,000", f"{what} has a coordinate above {_FAR:,.0f} pixels."
        )
    return shape


def shape_mask(shape: Shape, size: tuple[int, int], what: str) -> BoolArray | None:
    """Return the mask, bool (H, W), of a shape, or None for a line or points; `what` names the shape in an error.

    Raises
    ------
    OddShapeError
        If its points are not as its type needs them, or the type is unknown.
    """
    kind = shape.kind
    if kind in WITHOUT_AREA:
        return None
    points = np.array(shape.points, np.float64).reshape(-1, 2)
    if kind == "polygon":
        if len(points) < 3:
            raise OddShapeError(
                "polygon of fewer than three points",
                f"{what} is a polygon of {len(points)} points; three have an area.",
            )
        return polygon_mask(points, size)
    if kind in _CORNERS:
        return polygon_mask(_corners(points, kind, what), size)
    if kind in ("circle", "mask") and len(points) != 2:
        raise OddShapeError(
            f"{kind} of another number of points than 2",
            f"{what} is a {kind}, which needs 2 points; it has {len(points)}.",
        )
    if kind == "circle":
        (x, y), rim = points[0].tolist(), points[1].tolist()
        radius = math.dist((x, y), rim)
        return ellipse_mask((x, y), (radius, radius), size)
    if kind == "mask":
        return _png_mask(shape, size, what)
    raise OddShapeError(
        f"shape of the unknown type '{kind}'", f"{what} is a '{kind}'; the known types are {', '.join(_KNOWN)}."
    )


def _corners(points: NDArray[np.float64], kind: str, what: str) -> NDArray[np.float64]:
    """Return the four corners, (4, 2), in an order in which their outline does not cross itself."""
    if len(points) == 2 and kind == "rectangle":
        (x0, y0), (x1, y1) = points
        return np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)])
    if len(points) == 5 and (points[0] == points[-1]).all():
        points = points[:-1]
    if len(points) != 4:
        needed = "2 or 4" if kind == "rectangle" else "4"
        raise OddShapeError(
            f"{kind} of another number of points than {needed}",
            f"{what} is a {kind}, which needs {needed} points; it has {len(points)}.",
        )
    if _crosses_itself(points):
        middle = points - points.mean(axis=0)
        points = points[np.argsort(np.arctan2(middle[:, 1], middle[:, 0]), kind="stable")]
    return points


def _crosses_itself(points: NDArray[np.float64]) -> bool:
    """Return whether opposite sides of a quadrilateral cross."""

    def turn(a: int, b: int, c: int) -> float:
        (x0, y0), (x1, y1), (x2, y2) = points[a], points[b], points[c]
        return float(np.sign((x1 - x0) * (y2 - y0) - (y1 - y0) * (x2 - x0)))

    sides = ((0, 1, 2, 3), (1, 2, 3, 0))
    return any(turn(a, b, c) * turn(a, b, d) < 0 and turn(c, d, a) * turn(c, d, b) < 0 for a, b, c, d in sides)


def _png_mask(shape: Shape, size: tuple[int, int], what: str) -> BoolArray:
    """Return the mask, bool (H, W), of a shape that is a PNG; its top left pixel is at the first point."""
    try:
        part = np.asarray(embedded_png(shape.mask or "", f"The mask inside {what}", size).convert("L")) > 0
    except BrokenSampleError as error:
        raise OddShapeError("mask that cannot be read", str(error)) from None
    column, row = (math.floor(value) for value in shape.points[0])
    mask = np.zeros(size, np.bool_)
    if min(row, column) < 0 or row + part.shape[0] > size[0] or column + part.shape[1] > size[1]:
        raise OddShapeError(
            "mask beyond its image",
            f"{what} is a mask of {part.shape[1]} x {part.shape[0]} pixels at x {column}, y {row}, beyond its image of "
            f"{size[1]} x {size[0]}.",
        )
    mask[row : row + part.shape[0], column : column + part.shape[1]] = part
    return mask
