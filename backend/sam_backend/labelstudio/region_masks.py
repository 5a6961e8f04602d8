"""One region of Label Studio's JSON -> its shape, its label and its mask. Whether the mask counts: `accepted_masks`."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field, FiniteFloat

from sam_backend.arrays import BoolArray
from sam_backend.errors import BadRequestError, BrokenSampleError, brief
from sam_backend.labelstudio.bitmask import decode_bitmask
from sam_backend.labelstudio.rle import decode_runs
from sam_backend.polygons import ellipse_mask, polygon_mask, rectangle_mask
from sam_backend.samples import Cropped
from sam_backend.validation import T, checked

UNLABELLED = "unlabelled"
"""Label of a region that has none."""

_AROUND = ("rectangle", "ellipse")
"""Shapes that are drawn around an object."""

_KEYS = {
    "rle": "brush",
    "imageDataURL": "bitmask",
    "points": "polygon",
    "vertices": "vector",
    "radiusX": "ellipse",
    "height": "rectangle",
}


MAX_SIDE = 1_000_000
MAX_PIXELS = 400_000_000
"""Largest image whose regions are read; twice the default of the largest image that is encoded."""
MAX_POINTS = 1_000_000
"""Most points of one polygon or vector that are read; tools that trace masks write tens of thousands."""

MAX_CROSSINGS = 50_000_000
"""Most rows of pixels that the edges of one outline may cross, all together; more would take minutes."""

_Coordinate = Annotated[FiniteFloat, Field(ge=-1e9, le=1e9)]


class _Frame(BaseModel, frozen=True):
    """The size in pixels of the image that a region was drawn on."""

    original_width: int = Field(gt=0, le=MAX_SIDE)
    original_height: int = Field(gt=0, le=MAX_SIDE)


class _Rectangle(BaseModel, frozen=True):
    x: _Coordinate
    y: _Coordinate
    width: _Coordinate
    height: _Coordinate
    rotation: _Coordinate | None = None


class _Ellipse(BaseModel, frozen=True):
    x: _Coordinate
    y: _Coordinate
    radius_x: _Coordinate = Field(alias="radiusX")
    radius_y: _Coordinate = Field(alias="radiusY")
    rotation: _Coordinate | None = None


class _Vertex(BaseModel, frozen=True):
    x: _Coordinate
    y: _Coordinate


@dataclass(frozen=True, eq=False)
class Region:
    """A region of an annotation or a prediction, as pixels.

    Attributes
    ----------
    id : str, the same in a prediction and in an annotation that was begun with it; "" where it has none.
    cropped : Cropped, its mask; empty where the region covers no pixel.
    label : str, all its labels joined by commas, or `UNLABELLED`.
    is_around : bool, whether it is a rectangle or an ellipse, which is drawn around an object.
    """

    id: str
    cropped: Cropped
    label: str
    is_around: bool = False

    @property
    def mask(self) -> BoolArray:
        """The mask bool (H, W), a new array at each call."""
        return self.cropped.mask


def region_shape(entry: Mapping[str, Any]) -> str | None:
    """Return the shape of an entry of a `result`: brush, bitmask, polygon, vector, ellipse or rectangle.

    The value tells the shape, not the type: an entry of a `Labels` tag has the type "labels" whatever its shape.

    Returns
    -------
    str or None
        None for an entry without an area: a key point, a choice, a text, a relation, an open or curved vector, an
        object of a video.
    """
    value = entry.get("value")
    if not isinstance(value, Mapping) or "sequence" in value:
        return None
    shape = next((shape for key, shape in _KEYS.items() if key in value), None)
    return None if shape == "vector" and vector_problem(value) else shape


def vector_problem(value: Mapping[str, Any]) -> str:
    """Return why the value of a vector encloses no area that is read; "" where it does."""
    if not value.get("closed"):
        return "an open vector has no area"
    vertices = value["vertices"] if isinstance(value["vertices"], list) else []
    if any(isinstance(vertex, Mapping) and vertex.get("isBezier") for vertex in vertices):
        return "a vector with curves is not read"
    return "" if _along(vertices) else "a vector with branches is not read"


def _along(vertices: Sequence[Any]) -> list[Any]:
    """Return the vertices in the order in which each names the one before; none where they are not one line."""
    after = {_text(vertex.get("prevPointId")): vertex for vertex in vertices if isinstance(vertex, Mapping)}
    ordered = []
    before = ""
    while before in after:
        vertex = after.pop(before)
        ordered.append(vertex)
        before = _text(vertex.get("id"))
    return ordered if len(ordered) == len(vertices) else []


def region_id(entry: Mapping[str, Any]) -> str:
    """Return the id of the region that an entry belongs to; "" where it has none that can be used."""
    return _text(entry.get("id"))


def region_labels(entry: Mapping[str, Any]) -> list[str]:
    """Return the labels of an entry."""
    value = entry.get("value")
    if isinstance(value, Mapping):
        for key, labels in value.items():
            if key.endswith("labels") and isinstance(labels, list) and labels:
                return [brief(label, quoted=False) if not isinstance(label, str) else label for label in labels]
    return []


def region_label(entry: Mapping[str, Any]) -> str | None:
    """Return the labels of an entry, joined by commas; None if it has none."""
    return ", ".join(region_labels(entry)) or None


def _text(value: object) -> str:
    """Return an id, a text or a number, as a text; "" for anything else."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        return ""
    return value if isinstance(value, str) else brief(value)


def region_mask(entry: Mapping[str, Any]) -> BoolArray | None:
    """Return the mask bool (original_height, original_width) of `cropped_region`."""
    cropped = cropped_region(entry)
    return None if cropped is None else cropped.mask


def cropped_region(entry: Mapping[str, Any]) -> Cropped | None:
    """Rasterise one entry of an annotation's or a prediction's `result`; of most shapes only the box takes memory.

    Parameters
    ----------
    entry : a region as Label Studio serialises it, with `original_width`, `original_height` and `value`. Its
        `image_rotation` is ignored: Label Studio 1.23 leaves the coordinates upright however the page showed the image.

    Returns
    -------
    Cropped or None
        None for an entry without an area, see `region_shape`. Of a brush and a bitmask the pixels with an alpha of 128
        or more; of the other shapes the pixels by the convention of `polygons`, where 100 per cent are the image's full
        width and height. A polygon is taken as closed.

    Raises
    ------
    BrokenSampleError
        If the entry lacks a field of its shape, or does not decode.
    """
    shape = region_shape(entry)
    if shape is None:
        return None
    what = f"Region {brief(region_id(entry), quoted=False)}".rstrip()
    frame = _checked(_Frame, dict(entry), what)
    if frame.original_width * frame.original_height > MAX_PIXELS:
        raise BrokenSampleError(
            f"{what} says that its image has {frame.original_width} x {frame.original_height} pixels; at most "
            f"{MAX_PIXELS} are read."
        )
    value, size = entry["value"], (frame.original_height, frame.original_width)
    try:
        if shape == "brush":
            return decode_runs(value["rle"], size).cropped()
        if shape == "bitmask":
            url = value["imageDataURL"]
            return Cropped.of(decode_bitmask(url if isinstance(url, str) else "", size))
    except BadRequestError as error:
        raise BrokenSampleError(f"{what} cannot be read. {error}") from None
    return _RASTERISERS[shape](value, size, what)


def entries_by_region(result: Sequence[Mapping[str, Any]]) -> list[list[Mapping[str, Any]]]:
    """Group the entries of a `result` by their region: its shape, its label, its choices and texts have one id."""
    regions: dict[object, list[Mapping[str, Any]]] = {}
    for index, entry in enumerate(result):
        regions.setdefault(region_id(entry) or index, []).append(entry)
    return list(regions.values())


def regions_of(result: Sequence[Mapping[str, Any]]) -> Iterator[Region]:
    """Yield every region of a `result` that has an area; errors as of `region_mask`."""
    for entries in entries_by_region(result):
        mask = next((mask for mask in map(cropped_region, entries) if mask is not None), None)
        if mask is not None:
            label = next((label for label in map(region_label, entries) if label), UNLABELLED)
            is_around = next(filter(None, map(region_shape, entries)), "") in _AROUND
            yield Region(region_id(entries[0]), mask, label, is_around)


def _checked(kind: type[T], data: object, what: str) -> T:
    return checked(kind, data, what, cure="draw the region again")


def _polygon(value: Mapping[str, Any], size: tuple[int, int], what: str) -> Cropped:
    _check_count(value["points"], what)
    points = _checked(list[tuple[_Coordinate, _Coordinate]], value["points"], what)
    return _of_ring(points, size, what)


def _vector(value: Mapping[str, Any], size: tuple[int, int], what: str) -> Cropped:
    _check_count(value["vertices"], what)
    vertices = _checked(list[_Vertex], _along(value["vertices"]), what)
    return _of_ring([(vertex.x, vertex.y) for vertex in vertices], size, what)


def _check_count(points: object, what: str) -> None:
    if isinstance(points, list) and len(points) > MAX_POINTS:
        raise BrokenSampleError(f"{what} has {len(points)} points; at most {MAX_POINTS} are read.")


def _of_ring(points: Sequence[tuple[float, float]], size: tuple[int, int], what: str) -> Cropped:
    return ring_mask(np.reshape(points, (-1, 2)) * (size[1] / 100, size[0] / 100), size, what)


def ring_mask(ring: NDArray[np.float64], size: tuple[int, int], what: str) -> Cropped:
    """Return the inside of a ring (N, 2), xy in pixels, by the even-odd rule; only its box takes memory.

    Raises
    ------
    BrokenSampleError
        If it runs across the image again and again, so that it would take minutes; the sentence begins with `what`.
    """
    rows = np.abs(np.diff(ring[:, 1], append=ring[:1, 1])).clip(0, size[0]).sum()
    if rows > MAX_CROSSINGS:
        raise BrokenSampleError(
            f"{what} has {len(ring)} points that run across the image again and again; it is damaged. Draw it again."
        )
    corners = ring if len(ring) else np.zeros((1, 2))
    return _drawn_in_box(corners, size, lambda corner, box: polygon_mask(ring - corner, box))


def _rectangle(value: Mapping[str, Any], size: tuple[int, int], what: str) -> Cropped:
    drawn = _checked(_Rectangle, dict(value), what)
    x, width = (share / 100 * size[1] for share in (drawn.x, drawn.width))
    y, height = (share / 100 * size[0] for share in (drawn.y, drawn.height))
    reach = math.hypot(width, height)
    return _drawn_in_box(
        np.array([(x - reach, y - reach), (x + reach, y + reach)]),
        size,
        lambda corner, box: rectangle_mask((x - corner[0], y - corner[1], width, height), box, drawn.rotation or 0.0),
    )


def _ellipse(value: Mapping[str, Any], size: tuple[int, int], what: str) -> Cropped:
    drawn = _checked(_Ellipse, dict(value), what)
    x, radius_x = (share / 100 * size[1] for share in (drawn.x, drawn.radius_x))
    y, radius_y = (share / 100 * size[0] for share in (drawn.y, drawn.radius_y))
    radii = abs(radius_x), abs(radius_y)
    return _drawn_in_box(
        np.array([(x - max(radii), y - max(radii)), (x + max(radii), y + max(radii))]),
        size,
        lambda corner, box: ellipse_mask((x - corner[0], y - corner[1]), radii, box, drawn.rotation or 0.0),
    )


def _drawn_in_box(
    points: NDArray[np.float64],
    size: tuple[int, int],
    draw: Callable[[tuple[int, int], tuple[int, int]], BoolArray],
) -> Cropped:
    """Return what is drawn in the box around points (N, 2), xy in pixels; `draw` gets its corner xy and size (h, w)."""
    limits = np.array(size[::-1])
    left, top = np.floor(points.min(0)).clip(0, limits).astype(int).tolist()
    right, bottom = np.ceil(points.max(0)).clip(0, limits).astype(int).tolist()
    return Cropped.of_part(draw((left, top), (bottom - top, right - left)), (top, left), size)


_RASTERISERS = {"polygon": _polygon, "vector": _vector, "rectangle": _rectangle, "ellipse": _ellipse}
