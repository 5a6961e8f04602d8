"""COCO's JSON format of instance masks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask
from pydantic import BaseModel, FiniteFloat, NonNegativeInt

from sam_backend.arrays import BoolArray
from sam_backend.samples import Sample
from sam_backend.validation import checked
from sam_evaluation.datasets.dataset import Dataset, DatasetCard
from sam_evaluation.datasets.instances import objects_of_instances
from sam_evaluation.datasets.json_files import annotation_file, read_json
from sam_evaluation.datasets.objects import DEFAULT_RULE, ObjectRule
from sam_evaluation.datasets.sample_files import read_image, require_some
from sam_evaluation.errors import BrokenSampleError, EvaluationError


class ImageEntry(BaseModel, frozen=True):
    """One entry of `images`; `width` and `height` are in pixels, or None if the file does not state them."""

    id: int | str
    file_name: str = ""
    coco_url: str = ""
    width: int | None = None
    height: int | None = None


class _Category(BaseModel, frozen=True):
    id: int
    name: str


class _Rle(BaseModel, frozen=True):
    """Run lengths in column order, as compressed text or as alternate counts of zeros and ones; `size` is (H, W)."""

    size: tuple[int, int]
    counts: str | list[NonNegativeInt]


class _Annotation(BaseModel, frozen=True):
    id: int | str = "?"
    category_id: int
    segmentation: list[list[FiniteFloat]] | _Rle
    iscrowd: bool = False


@dataclass(frozen=True)
class _Index:
    """The content of the annotation file; an annotation is validated when its image is loaded.

    Attributes
    ----------
    file : Path, the annotation file.
    images : dict, the entry of each image by its name.
    annotations : dict, the raw annotations of each image by its id.
    labels : dict, the name of each category by its id.
    """

    file: Path
    images: dict[str, ImageEntry]
    annotations: dict[int | str, list[Any]]
    labels: dict[int, str]


@dataclass(frozen=True)
class Coco(Dataset):
    """Polygons and run lengths, rasterised by pycocotools. Every annotation is one object; crowds are left out.

    `folder` may be the annotation file itself. An image without annotations has no objects.
    """

    folder: Path
    rule: ObjectRule = DEFAULT_RULE

    card = DatasetCard(
        name="coco",
        title="COCO instances",
        layout="annotations/*.json or *.json (one, or give the file itself), images at file_name, relative "
        "to the folder, to its images/ or to a folder in one of these.",
        licence="of the data set in this format",
        source="https://cocodataset.org/#format-data",
    )

    def names(self) -> Sequence[str]:
        """Return the names of all images, as they stand in the annotation file."""
        return require_some(self._index.images, self._index.file, self.card.layout)

    def load(self, name: str) -> Sample:
        """Read an image and its instances."""
        entry = self._index.images.get(name)
        if entry is None:
            raise BrokenSampleError(f"{self._index.file} has no image {name}; use a name from this file.")
        path = self._image_path(name)
        image = read_image(path)
        size = image.shape[0], image.shape[1]
        if (entry.height or size[0], entry.width or size[1]) != size:
            raise BrokenSampleError(
                f"{path} is {size[1]} x {size[0]} pixels, but was annotated at {entry.width} x {entry.height}; "
                "replace it by the annotated image in the same orientation."
            )
        return Sample(name, image, objects_of_instances(self._instances(entry, size), self.rule))

    @staticmethod
    def image_name(entry: ImageEntry) -> str:
        """Return the path of an image as it stands in the annotation file, or "" if there is none."""
        return entry.file_name

    @cached_property
    def _index(self) -> _Index:
        file = annotation_file(self.folder, ("annotations/*.json", "*.json"), self.card.layout)
        content = read_json(file, EvaluationError)
        if not isinstance(content, dict) or not {"images", "annotations", "categories"} <= content.keys():
            raise EvaluationError(f"{file} is not of this format: it needs images, annotations and categories.")
        entries = checked(list[ImageEntry], content["images"], f"images of {file}", EvaluationError)
        names = Counter(self.image_name(entry) for entry in entries)
        for name, count in names.items():
            if count > 1 or not name:
                raise EvaluationError(
                    f"{file} has {count} images of the file name '{name}'; every image needs its own."
                )
        annotations: dict[int | str, list[Any]] = {}
        for annotation in checked(
            list[dict[str, Any]], content["annotations"], f"annotations of {file}", EvaluationError
        ):
            if "image_id" not in annotation:
                raise EvaluationError(
                    f"An annotation of {file} has no image_id, so its image is unknown; export the file again."
                )
            annotations.setdefault(annotation["image_id"], []).append(annotation)
        categories = checked(list[_Category], content["categories"], f"categories of {file}", EvaluationError)
        return _Index(
            file,
            {self.image_name(entry): entry for entry in entries},
            annotations,
            {category.id: category.name for category in categories},
        )

    def _image_path(self, name: str) -> Path:
        parent = self._index.file.parent
        root = parent.parent if parent.name == "annotations" else parent
        bases = [base for base in (root, root / "images") if base.is_dir()]
        for base in bases:
            if (base / name).is_file():
                return base / name
        deeper = (folder for base in bases for folder in base.iterdir() if folder.is_dir())
        matches = sorted(folder / name for folder in deeper if (folder / name).is_file())
        if len(matches) == 1:
            return matches[0]
        if matches:
            where = ", ".join(str(path.parent) for path in matches)
            raise BrokenSampleError(f"The image {name} is in several folders ({where}); keep only the annotated one.")
        raise BrokenSampleError(f"The image {name} is neither in {root} nor in a folder of it; put it there.")

    def _instances(self, entry: ImageEntry, size: tuple[int, int]) -> Iterator[tuple[BoolArray, str]]:
        for data in self._index.annotations.get(entry.id, ()):
            what = f"Annotation {data.get('id', '?')} of {self._index.file}"
            if data.get("iscrowd"):
                continue
            annotation = checked(_Annotation, data, what)
            if annotation.category_id not in self._index.labels:
                raise BrokenSampleError(
                    f"{what} has the category {annotation.category_id}, which is not in categories."
                )
            yield _mask(annotation.segmentation, size, what), self._index.labels[annotation.category_id]


def _mask(segmentation: list[list[float]] | _Rle, size: tuple[int, int], what: str) -> BoolArray:
    """Return the mask of the run lengths, or the union of the polygons.

    Parameters
    ----------
    segmentation : list of rings x, y, x, y, ... in pixels, or run lengths.
    size : (H, W) of the image.
    what : str, names the annotation in an error.
    """
    if isinstance(segmentation, _Rle):
        rle = _checked_rle(segmentation, size, what)
    else:
        if not segmentation:
            raise BrokenSampleError(f"{what} has only a box; a polygon or run lengths are needed.")
        # pycocotools samples an outline every fifth of a pixel: its time and memory grow with the coordinates.
        reach = max(size)
        if any(len(ring) % 2 or not all(-reach <= value <= 2 * reach for value in ring) for ring in segmentation):
            raise BrokenSampleError(
                f"{what} has a polygon that is not x, y, x, y, ... in pixels within the image of {size[1]} x {size[0]}."
            )
        # Fewer than three points enclose nothing, and pycocotools reads two points as a box.
        rings = [ring for ring in segmentation if len(ring) >= 6]
        if not rings:
            return np.zeros(size, np.bool_)
        rle = coco_mask.merge(coco_mask.frPyObjects(rings, *size))
    mask: BoolArray = coco_mask.decode(rle).astype(np.bool_)
    return mask


def _checked_rle(segmentation: _Rle, size: tuple[int, int], what: str) -> Any:
    """Return run lengths for pycocotools, which does not check them."""
    if segmentation.size != size:
        height, width = segmentation.size
        raise BrokenSampleError(
            f"{what} is of {width} x {height} pixels, its image {size[1]} x {size[0]}; both must have the same size."
        )
    counts = segmentation.counts
    runs = _runs(counts) if isinstance(counts, str) else counts
    # Where run lengths are missing, pycocotools returns uninitialised memory.
    if min(runs, default=-1) < 0 or sum(runs) != size[0] * size[1]:
        raise BrokenSampleError(
            f"{what} has run lengths that do not add up to its image's {size[0] * size[1]} pixels; export it again."
        )
    return coco_mask.frPyObjects({"size": list(size), "counts": runs}, *size)


def _runs(text: str) -> list[int]:
    """Return the run lengths in COCO's compressed text; a negative one means that the text is damaged.

    A character code minus 48 holds five bits of a number, lowest bits first. Bit 32 is set if the number continues in
    the next character; bit 16 of the last character is the sign. From the fourth run on, a number is the difference
    from the run two places before. The format is that of `rleFrString` in pycocotools.
    """
    runs: list[int] = []
    value = shift = 0
    for character in text:
        code = ord(character) - 48
        value |= (code & 31) << shift
        shift += 5
        if not code & 32:
            value -= (code >> 4 & 1) << shift
            runs.append(value + (runs[-2] if len(runs) > 2 else 0))
            value = shift = 0
    return runs if not shift else [*runs, -1]
