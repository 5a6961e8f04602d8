"""COCO's JSON format of instance masks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from sam_backend.arrays import BoolArray, ImageArray
from sam_backend.samples import Sample
from sam_backend.validation import checked
from sam_evaluation.datasets.boxes import BoxedImage, DrawnBox, corners_of, inside, unknown_class
from sam_evaluation.datasets.coco_masks import coco_mask_of
from sam_evaluation.datasets.dataset import Dataset, DatasetCard
from sam_evaluation.datasets.image_finder import ImageFinder, path_parts
from sam_evaluation.datasets.instances import objects_of_instances
from sam_evaluation.datasets.json_files import annotation_file, id_key, kind_of, read_json
from sam_evaluation.datasets.objects import DEFAULT_RULE, ObjectRule
from sam_evaluation.datasets.sample_files import read_image, require_some
from sam_evaluation.datasets.tally import OddShapeError, Tally
from sam_evaluation.errors import BrokenSampleError, EvaluationError


class ImageEntry(BaseModel, frozen=True):
    """One entry of `images`; `width` and `height` are in pixels, or None if the file does not state them."""

    id: int | str
    file_name: str | None = None
    coco_url: str | None = None
    width: int | None = None
    height: int | None = None


@dataclass(frozen=True)
class _Index:
    """The content of the annotation file; an annotation is validated when its image is loaded.

    Attributes
    ----------
    file : Path, the annotation file.
    images : dict, the entry of each image by its name.
    annotations : dict, the raw annotations of each image by the `id_key` of its id.
    labels : dict, the name of each category by the `id_key` of its id.
    left_out : counts of what belongs to no image.
    """

    file: Path
    images: dict[str, ImageEntry]
    annotations: dict[int | str | None, list[dict[str, Any]]]
    labels: dict[int | str | None, str]
    left_out: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Coco(Dataset):
    """Polygons and run-lengths, rasterised by pycocotools. Every annotation is one object; crowds are left out.

    `folder` may be the annotation file itself. An image without annotations has no objects; an image with annotations
    of which none can be used is broken.
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
        """Return the names of all images, as they stand in the annotation file, with slashes."""
        return require_some(self._index.images, self._index.file, self.card.layout)

    def classes(self) -> Sequence[str]:
        """Return the names of all categories, in the order of their ids in the file."""
        return tuple(dict.fromkeys(self._index.labels.values()))

    def left_out(self) -> Mapping[str, int]:
        """Return the counts of annotations and entries that belong to no image."""
        return self._index.left_out

    def load(self, name: str) -> Sample:
        """Read an image and its instances."""
        tally = Tally()
        entry, path, image = self._image(name, tally)
        objects = objects_of_instances(
            self._instances(entry, (image.shape[0], image.shape[1]), tally), self.rule, tally
        )
        return tally.sample(name, image, objects, path)

    def boxes(self, name: str) -> BoxedImage:
        """Read an image and its boxes, `bbox` of the annotations without a `segmentation`."""
        tally = Tally()
        entry, path, image = self._image(name, tally)
        size, boxes, outlined = (image.shape[0], image.shape[1]), [], []
        for data, where, what in self._annotations(entry, tally):
            category = id_key(data.get("category_id"))
            if data.get("segmentation") not in (None, [], {}):
                outlined.append(data)
            elif category not in self._index.labels or category is None:
                tally.odd(unknown_class(data.get("category_id"), what), where)
            else:
                try:
                    box = inside(corners_of(data.get("bbox")), size, what)
                except OddShapeError as error:
                    tally.odd(error, where)
                else:
                    boxes.append(DrawnBox(box, category, data))
        return BoxedImage(name, path, image, boxes, outlined, tally)

    def coco_head(self) -> dict[str, Any]:
        """Return the annotation file without its annotations; each image has its name as `file_name`."""
        content = _content(read_json(self._index.file, EvaluationError), self._index.file)
        entries = {id_key(entry.get("id")): entry for entry in content["images"] if isinstance(entry, dict)}
        images = [{**entries[id_key(entry.id)], "file_name": name} for name, entry in self._index.images.items()]
        return {**{key: value for key, value in content.items() if key != "annotations"}, "images": images}

    def _image(self, name: str, tally: Tally) -> tuple[ImageEntry, Path, ImageArray]:
        """Return the entry, the file and the pixels of an image."""
        entry = self._index.images.get(name)
        if entry is None:
            raise BrokenSampleError(f"{self._index.file} has no image {name}; use a name from this file.")
        path, note = self._finder.find(self.image_name(entry))
        tally.note(note)
        image = read_image(path)
        size = image.shape[0], image.shape[1]
        if (entry.height or size[0], entry.width or size[1]) != size:
            raise BrokenSampleError(
                f"{path} is {size[1]} x {size[0]} pixels, but was annotated at {entry.width} x {entry.height}; "
                "replace it by the annotated image in the same orientation."
            )
        return entry, path, image

    @staticmethod
    def image_name(entry: ImageEntry) -> str:
        """Return the path of an image as it stands in the annotation file, or "" if there is none."""
        return entry.file_name or (path_parts(entry.coco_url or "") or ("",))[-1]

    @cached_property
    def _index(self) -> _Index:
        file = annotation_file(self.folder, ("annotations/*.json", "*.json"), self.card.layout)
        content = _content(read_json(file, EvaluationError), file)
        left_out: Counter[str] = Counter()
        entries = _image_entries(content["images"], file, left_out)
        images = self._by_name(entries, file, left_out)
        return _Index(
            file,
            images,
            _by_image(content["annotations"], {id_key(entry.id) for entry in images.values()}, file, left_out),
            _labels(content.get("categories") or [], file, left_out),
            left_out,
        )

    def _by_name(self, entries: Sequence[ImageEntry], file: Path, left_out: Counter[str]) -> dict[str, ImageEntry]:
        images: dict[str, ImageEntry] = {}
        ids: dict[int | str | None, str] = {}
        for entry in entries:
            name = "/".join(path_parts(self.image_name(entry)))
            if not name:
                left_out["image without a file name, with its annotations"] += 1
                continue
            if images.get(name) == entry:
                left_out["image that is listed twice"] += 1
                continue
            if name in images:
                count = sum("/".join(path_parts(self.image_name(other))) == name for other in entries)
                raise EvaluationError(
                    f"{file} has {count} images of the file name '{name}'; every image needs its own."
                )
            key = id_key(entry.id)
            if key in ids:
                raise EvaluationError(
                    f"{file} gives the id {entry.id} to {ids[key]} and to {name}, so their annotations cannot be told "
                    "apart; export it again."
                )
            images[name], ids[key] = entry, name
        if entries and not images:
            raise EvaluationError(f"{file} has {len(entries)} images without a file name; every image needs its own.")
        return images

    @cached_property
    def _finder(self) -> ImageFinder:
        parent = self._index.file.parent
        root = self.folder if self.folder.is_dir() else parent.parent if parent.name == "annotations" else parent
        names = [self.image_name(entry) for entry in self._index.images.values()]
        return ImageFinder(root, tuple(base for base in (root, root / "images") if base.is_dir()), names)

    def _instances(self, entry: ImageEntry, size: tuple[int, int], tally: Tally) -> Iterator[tuple[BoolArray, str]]:
        labels = self._index.labels
        for data, where, what in self._annotations(entry, tally):
            try:
                mask = coco_mask_of(data.get("segmentation"), size, where, what, tally)
            except OddShapeError as error:
                tally.odd(error, where)
                continue
            category = id_key(data.get("category_id"))
            if category not in labels:
                tally.note(f"category {category} has no name in categories; its objects are measured under its number")
            yield mask, labels.get(category, f"category {category}")

    def _annotations(self, entry: ImageEntry, tally: Tally) -> Iterator[tuple[dict[str, Any], str, str]]:
        """Yield the raw annotations of an image that are one object, with what names them in counts and sentences."""
        seen: dict[object, list[dict[str, Any]]] = {}
        for data in self._index.annotations.get(id_key(entry.id), ()):
            where = f"annotation {data.get('id', '?')}"
            what = f"Annotation {data.get('id', '?')} of {self._index.file}"
            alike = seen.setdefault(str(data.get("id")), [])
            if "id" in data and data in alike:
                tally.leave_out("annotation that is listed twice", where)
                continue
            alike.append(data)
            if data.get("iscrowd") in (1, "1", "true"):
                tally.leave_out(
                    "crowd (iscrowd is 1)",
                    where,
                    f"{what} is a crowd (iscrowd is 1), which is not one object; set iscrowd to 0 if it is one.",
                )
                continue
            yield data, where, what


def _content(content: Any, file: Path) -> dict[str, Any]:
    """Check that the file is of this kind; the message names the kind that it is."""
    problem = f"{file} is not of this format: it needs images, annotations and categories"
    if isinstance(content, list) and content and isinstance(content[0], dict) and "image_id" in content[0]:
        raise EvaluationError(f"{problem}; it is a list of results, the predictions of a model.")
    if not isinstance(content, dict):
        raise EvaluationError(f"{problem}; it is {kind_of(content)}.")
    missing = [name for name in ("images", "annotations") if not isinstance(content.get(name), list)]
    if missing:
        raise EvaluationError(f"{problem}; {' and '.join(missing)} should be lists. It has {', '.join(content)[:100]}.")
    if any(isinstance(annotation, dict) and "segments_info" in annotation for annotation in content["annotations"][:1]):
        raise EvaluationError(
            f"{problem}; it is COCO's panoptic format, whose masks are in PNG files. Convert it to instances, for "
            "example with panopticapi's panoptic2detection_coco_format."
        )
    return content


def _image_entries(entries: list[Any], file: Path, left_out: Counter[str]) -> list[ImageEntry]:
    try:
        return checked(list[ImageEntry], entries, f"images of {file}", EvaluationError)
    except EvaluationError:
        good = []
        for entry in entries:
            try:
                good.append(checked(ImageEntry, entry, "", EvaluationError))
            except EvaluationError:
                left_out["entry of images that is not as the format says, with its annotations"] += 1
        if not good:
            raise
        return good


def _by_image(
    annotations: list[Any], known: set[int | str | None], file: Path, left_out: Counter[str]
) -> dict[int | str | None, list[dict[str, Any]]]:
    by_image: dict[int | str | None, list[dict[str, Any]]] = {}
    unknown: Counter[str] = Counter()
    without = 0
    for annotation in annotations:
        key = id_key(annotation.get("image_id")) if isinstance(annotation, dict) else None
        if key is None:
            without += 1
        elif key not in known:
            unknown[str(key)] += 1
        else:
            by_image.setdefault(key, []).append(annotation)
    if without and without == len(annotations):
        raise EvaluationError(
            f"An annotation of {file} has no image_id, so its image is unknown; export the file again."
        )
    if without:
        left_out["annotation without an image_id"] += without
    if unknown:
        some = ", ".join(list(unknown)[:3]) + (", …" if len(unknown) > 3 else "")
        left_out[f"annotation of an image that is not listed (image_id {some})"] += unknown.total()
    return by_image


def _labels(categories: Any, file: Path, left_out: Counter[str]) -> dict[int | str | None, str]:
    labels: dict[int | str | None, str] = {}
    for category in categories if isinstance(categories, list) else ():
        key = id_key(category.get("id")) if isinstance(category, dict) else None
        if key is None:
            left_out["entry of categories without an id"] += 1
            continue
        name = category.get("name")
        label = f"category {key}" if name is None or name == "" else str(name)
        if labels.setdefault(key, label) != label:
            raise EvaluationError(
                f"{file} gives the category id {key} to '{labels[key]}' and to '{label}'; export it again."
            )
    return labels
