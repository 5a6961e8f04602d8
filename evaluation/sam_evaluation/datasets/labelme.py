"""Labelme: one JSON file per image."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field

from sam_backend.arrays import BoolArray, ImageArray
from sam_backend.samples import Sample
from sam_backend.validation import checked
from sam_evaluation.datasets.dataset import Dataset, DatasetCard
from sam_evaluation.datasets.embedded import embedded_image
from sam_evaluation.datasets.image_finder import FOUND_BY_NAME, ImageFinder
from sam_evaluation.datasets.instances import objects_of_instances
from sam_evaluation.datasets.json_files import id_key, kind_of, read_json
from sam_evaluation.datasets.labelme_shapes import read_shape, shape_mask
from sam_evaluation.datasets.objects import DEFAULT_RULE, ObjectRule
from sam_evaluation.datasets.sample_files import image_files, read_image, require_some
from sam_evaluation.datasets.tally import OddShapeError, Tally
from sam_evaluation.errors import BrokenSampleError


class _File(BaseModel, frozen=True):
    shapes: list[Any] | None
    path: str | None = Field(None, alias="imagePath")
    data: str | None = Field(None, alias="imageData")
    height: int | None = Field(None, alias="imageHeight")
    width: int | None = Field(None, alias="imageWidth")


@dataclass(frozen=True)
class Labelme(Dataset):
    """Polygons, rectangles, quadrilaterals, circles and masks; shapes with the same label and group are one object.

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

    def left_out(self) -> Mapping[str, int]:
        """Return the number of images that no JSON file has the name of: nobody annotated them."""
        annotated = {Path(name).stem for name in self.names()}
        without = [path for path in image_files(self.folder, "**/*") if path.stem not in annotated]
        first = f" (first: {without[0].relative_to(self.folder)})" if without else ""
        return {f"image without a JSON file of its name{first}": len(without)}

    def load(self, name: str) -> Sample:
        """Read an image and its shapes."""
        path = self.folder / name
        content = read_json(path)
        if not isinstance(content, dict) or "shapes" not in content:
            came = f"has {', '.join(content)[:100]}" if isinstance(content, dict) else f"is {kind_of(content)}"
            raise BrokenSampleError(f"{path} is no file of Labelme: it needs an object with shapes, and it {came}.")
        file = checked(_File, content, str(path))
        tally = Tally()
        image, image_file = self._image(file, path, tally)
        size = image.shape[0], image.shape[1]
        if (file.height or size[0], file.width or size[1]) != size:
            raise BrokenSampleError(
                f"The image of {path} is {size[1]} x {size[0]} pixels, but was annotated at {file.width} x "
                f"{file.height}; replace it by the annotated image."
            )
        instances = _instances(file.shapes or [], size, path, tally)
        return tally.sample(name, image, objects_of_instances(instances, self.rule, tally), image_file)

    @cached_property
    def _root(self) -> Path:
        """The folder that images must lie in: tools also keep images in a folder beside the one of the JSON files."""
        folder = self.folder.resolve()
        return folder.parent if folder.parent != folder.parent.parent else folder

    @cached_property
    def _finder(self) -> ImageFinder:
        return ImageFinder(self.folder, ())

    def _image(self, file: _File, path: Path, tally: Tally) -> tuple[ImageArray, Path | None]:
        """Read the image file, or the image inside the JSON file if there is no image file; return the file, too."""
        written = file.path or ""
        finder = ImageFinder(self._root, (path.parent.resolve(), self._root))
        place = finder.place(written) if written else None
        if place is not None:
            return read_image(place), place
        if file.data:
            return embedded_image(file.data, f"The image inside {path}"), None
        if not written:
            same = [image for image in image_files(path.parent) if image.stem == path.stem]
            if len(same) != 1:
                raise BrokenSampleError(f"{path} has no image; it needs imagePath or imageData.")
            tally.note("imagePath is empty; the image with the name of the JSON file was taken")
            return read_image(same[0]), same[0]
        try:
            found, note = self._finder.find(written)
        except BrokenSampleError as error:
            raise BrokenSampleError(f"{path.parent / written} cannot be read: No such file. {error}") from None
        tally.note(note or FOUND_BY_NAME)
        return read_image(found), found


def _instances(
    shapes: Sequence[Any], size: tuple[int, int], path: Path, tally: Tally
) -> Iterator[tuple[BoolArray, str]]:
    """Yield the mask and the label of each object."""
    masks: dict[tuple[str, int | str | None, int], BoolArray] = {}
    for index, data in enumerate(shapes):
        where = f"shape {index + 1}"
        try:
            shape = read_shape(data, f"Shape {index + 1} of {path}")
            mask = shape_mask(shape, size, f"Shape {index + 1} of {path}")
        except OddShapeError as error:
            tally.odd(error, where)
            continue
        if mask is None:
            tally.leave_out("line or point, which has no area", where)
            continue
        group = id_key(shape.group_id)
        # A shape without a group is an object of its own.
        key = shape.name, group, index if group is None else -1
        masks[key] = masks[key] | mask if key in masks else mask
    yield from ((mask, key[0]) for key, mask in masks.items())
