"""Labelme: one JSON file per image."""

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
from sam_evaluation.datasets.dataset import Dataset, DatasetCard
from sam_evaluation.datasets.embedded import embedded_image, embedded_png
from sam_evaluation.datasets.instances import objects_of_instances
from sam_evaluation.datasets.json_files import read_json
from sam_evaluation.datasets.objects import DEFAULT_RULE, ObjectRule
from sam_evaluation.datasets.sample_files import read_image, require_some
from sam_evaluation.errors import BrokenSampleError

_WITHOUT_AREA = ("line", "linestrip", "point", "points")


class _Shape(BaseModel, frozen=True):
    """One shape; `points` are x and y in pixels, and their meaning depends on `shape_type`."""

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
class Labelme(Dataset):
    """Polygons, rectangles, circles and masks; shapes with the same label and group are one object.

    Lines and points are left out: they have no area, and the format has no line width. Outlines are rasterised by
    the convention of `sam_backend.polygons`. Labelme itself also includes every pixel that an outline touches.
    """

    folder: Path
    rule: ObjectRule = DEFAULT_RULE

    card = DatasetCard(
        name="labelme",
        title="Labelme",
        layout=(
            "*.json in any folder, one per image; the image is at imagePath, relative to the JSON file, or inside it."
        ),
        licence="of the data set in this format",
        source="https://github.com/wkentaro/labelme",
    )

    def names(self) -> Sequence[str]:
        """Return the paths of all JSON files, relative to the folder."""
        names = (str(path.relative_to(self.folder)) for path in self.folder.rglob("*.json"))
        return require_some(names, self.folder, self.card.layout)

    def load(self, name: str) -> Sample:
        """Read an image and its shapes."""
        path = self.folder / name
        file = checked(_File, read_json(path), str(path))
        image = _image(file, path)
        size = image.shape[0], image.shape[1]
        if (file.height or size[0], file.width or size[1]) != size:
            raise BrokenSampleError(
                f"The image of {path} is {size[1]} x {size[0]} pixels, but was annotated at {file.width} x "
                f"{file.height}; replace it by the annotated image."
            )
        masks: dict[tuple[str, int | str | None, int], BoolArray] = {}
        for index, shape in enumerate(file.shapes):
            mask = _mask(shape, size, f"Shape {index + 1} of {path}")
            if mask is not None:
                # A shape without a group is an object of its own.
                key = shape.label, shape.group_id, index if shape.group_id is None else -1
                masks[key] = masks[key] | mask if key in masks else mask
        return Sample(name, image, objects_of_instances(((mask, key[0]) for key, mask in masks.items()), self.rule))


def _image(file: _File, path: Path) -> NDArray[np.uint8]:
    """Read the image file, or the image inside the JSON file if there is no image file."""
    beside = path.parent / (file.path or "").replace("\\", "/")
    if file.data and not beside.is_file():
        return embedded_image(file.data, f"The image inside {path}")
    if not file.path:
        raise BrokenSampleError(f"{path} has no image; it needs imagePath or imageData.")
    return read_image(beside)


def _mask(shape: _Shape, size: tuple[int, int], what: str) -> BoolArray | None:
    """Return the mask, bool (H, W), of a shape, or None for a line or points; `what` names the shape in an error."""
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
        return _png_mask(shape, size, what)
    raise BrokenSampleError(
        f"{what} is a '{kind}'; the known types are polygon, rectangle, circle, mask, {', '.join(_WITHOUT_AREA)}."
    )


def _png_mask(shape: _Shape, size: tuple[int, int], what: str) -> BoolArray:
    """Return the mask, bool (H, W), of a shape that is a PNG; its top left pixel is at the first point."""
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
