"""Labelme: one JSON an image."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field, FiniteFloat

from sam_backend.arrays import BoolArray
from sam_backend.polygons import ellipse_mask, polygon_mask, rectangle_mask
from sam_backend.samples import Sample
from sam_backend.validation import checked
from sam_evaluation.datasets.dataset import DatasetCard
from sam_evaluation.datasets.embedded import embedded_image, embedded_png
from sam_evaluation.datasets.instances import objects_of_instances
from sam_evaluation.datasets.json_files import read_json
from sam_evaluation.datasets.objects import DEFAULT_RULE, ObjectRule
from sam_evaluation.datasets.sample_files import read_image, require_some
from sam_evaluation.errors import BrokenSampleError

_WITHOUT_AREA = ("line", "linestrip", "point", "points")


class _Shape(BaseModel, frozen=True):
    """`points` are x and y in pixels; what they mean depends on `shape_type`."""

    label: str
    points: list[tuple[FiniteFloat, FiniteFloat]]
    shape_type: str | None = None
    group_id: int | str | None = None
    mask: str | None = None


class _File(BaseModel, frozen=True):
    shapes: list[_Shape]
    path: str | None = Field(None, alias="imagePath")
    data: str | None = Field(None, alias="imageData")
    height: int | None = Field(None, alias="imageHeight")
    width: int | None = Field(None, alias="imageWidth")


@dataclass(frozen=True)
class Labelme:
    """Polygons, rectangles, circles and masks; shapes of one label and one group are one object.

    Lines and points have no area, and how wide a line was meant is not said, so they are left out. Outlines are
    rasterised by the convention of `polygons`, not by Labelme's own, which also takes the pixels an outline touches.
    """

    folder: Path
    rule: ObjectRule = DEFAULT_RULE

    card = DatasetCard(
        name="labelme",
        title="Labelme",
        layout="*.json in any folder, one an image, whose image is at imagePath, seen from the file, or inside it.",
        licence="of the data set in this format",
        source="https://github.com/wkentaro/labelme",
    )

    def names(self) -> Sequence[str]:
        """Return the paths of all JSON files."""
        found = (str(path.relative_to(self.folder)) for path in self.folder.rglob("*.json"))
        return require_some(found, self.folder, self.card.layout)

    def load(self, name: str) -> Sample:
        """Read an image and its shapes."""
        path = self.folder / name
        file = checked(_File, read_json(path), str(path))
        image = _image(file, path)
        size = image.shape[0], image.shape[1]
        if (file.height or size[0], file.width or size[1]) != size:
            raise BrokenSampleError(
                f"The image of {path} is {size[1]} x {size[0]} pixels, but was annotated at {file.width} x "
                f"{file.height}; put the image there that was annotated."
            )
        masks: dict[tuple[str, int | str | None, int], BoolArray] = {}
        for index, shape in enumerate(file.shapes):
            mask = _mask(shape, size, f"Shape {index + 1} of {path}")
            if mask is not None:
                # Without a group every shape is its own.
                key = shape.label, shape.group_id, index if shape.group_id is None else -1
                masks[key] = masks[key] | mask if key in masks else mask
        return Sample(name, image, objects_of_instances(((mask, key[0]) for key, mask in masks.items()), self.rule))


def _image(file: _File, path: Path) -> NDArray[np.uint8]:
    """Read the image's file, or the image inside the JSON where there is no file."""
    beside = path.parent / (file.path or "").replace("\\", "/")
    if file.data and not beside.is_file():
        return embedded_image(file.data, f"The image inside {path}")
    if not file.path:
        raise BrokenSampleError(f"{path} names no image and holds none; it needs imagePath or imageData.")
    return read_image(beside)


def _mask(shape: _Shape, size: tuple[int, int], what: str) -> BoolArray | None:
    """Return a shape's mask, or None for one without area; `what` names it in an error."""
    kind = shape.shape_type or "polygon"
    if kind in _WITHOUT_AREA:
        return None
    points = np.array(shape.points, np.float64).reshape(-1, 2)
    expected = {"rectangle": 2, "circle": 2, "mask": 2}.get(kind)
    if expected is not None and len(points) != expected:
        raise BrokenSampleError(f"{what} is a {kind}, which needs {expected} points; it has {len(points)}.")
    if kind == "polygon":
        return polygon_mask(points, size)
    if kind == "rectangle":
        (x0, y0), (x1, y1) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
        return rectangle_mask((x0, y0, x1 - x0, y1 - y0), size)
    if kind == "circle":
        (x, y), rim = points[0].tolist(), points[1].tolist()
        radius = math.dist((x, y), rim)
        return ellipse_mask((x, y), (radius, radius), size)
    if kind == "mask":
        return _placed(shape, size, what)
    raise BrokenSampleError(
        f"{what} is a '{kind}'; known are polygon, rectangle, circle, mask, {', '.join(_WITHOUT_AREA)}."
    )


def _placed(shape: _Shape, size: tuple[int, int], what: str) -> BoolArray:
    """Return the mask whose PNG, not zero where it is true, has its top left pixel at the first point."""
    part = np.asarray(embedded_png(shape.mask or "", f"The mask inside {what}", size).convert("L")) > 0
    column, row = (math.floor(value) for value in shape.points[0])
    mask = np.zeros(size, np.bool_)
    if min(row, column) < 0 or row + part.shape[0] > size[0] or column + part.shape[1] > size[1]:
        raise BrokenSampleError(
            f"{what} is a mask of {part.shape[1]} x {part.shape[0]} pixels at x {column}, y {row}, beyond its image of "
            f"{size[1]} x {size[0]}."
        )
    mask[row : row + part.shape[0], column : column + part.shape[1]] = part
    return mask
