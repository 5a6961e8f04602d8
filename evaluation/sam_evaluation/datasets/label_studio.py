"""Label Studio's JSON export."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import numpy as np
from pydantic import BaseModel, Field, FiniteFloat, PositiveInt

from sam_backend.arrays import BoolArray
from sam_backend.polygons import ellipse_mask, polygon_mask, rectangle_mask
from sam_backend.samples import Sample
from sam_evaluation.datasets.dataset import DatasetCard
from sam_evaluation.datasets.embedded import embedded_png
from sam_evaluation.datasets.instances import objects_of_instances
from sam_evaluation.datasets.json_files import annotation_file, checked, read_json
from sam_evaluation.datasets.objects import DEFAULT_RULE, ObjectRule
from sam_evaluation.datasets.sample_files import IMAGE_SUFFIXES, image_files, read_image, require_some
from sam_evaluation.errors import BrokenSampleError, EvaluationError

UNLABELLED = "unlabelled"
"""Label of a region that was given none."""

_CHANNELS = 4
_OPAQUE = 128
_PNG = "data:image/png;base64,"
_UPLOADED = re.compile(r"[0-9a-f]{8}-(.+)")


class _Frame(BaseModel, frozen=True):
    """The image a region was drawn on, in pixels."""

    original_width: PositiveInt
    original_height: PositiveInt
    image_rotation: float | None = None


class _Rectangle(BaseModel, frozen=True):
    x: FiniteFloat
    y: FiniteFloat
    width: FiniteFloat
    height: FiniteFloat
    rotation: FiniteFloat | None = None


class _Ellipse(BaseModel, frozen=True):
    x: FiniteFloat
    y: FiniteFloat
    radius_x: FiniteFloat = Field(alias="radiusX")
    radius_y: FiniteFloat = Field(alias="radiusY")
    rotation: FiniteFloat | None = None


class Annotation(BaseModel, frozen=True):
    """What a person made of a task.

    Attributes
    ----------
    parent_prediction : id of the prediction it was begun with.
    prediction : a copy of a prediction that the task had when this was saved, mostly of the same; {} without.
    completed_by : the person's id, or all about that person.
    lead_time : seconds the page was open; None of what no page made.
    """

    result: list[dict[str, Any]] | None = None
    was_cancelled: bool | None = False
    updated_at: str | None = None
    created_at: str | None = None
    id: int | None = None
    parent_prediction: int | None = None
    prediction: dict[str, Any] | None = None
    completed_by: int | dict[str, Any] | None = None
    lead_time: FiniteFloat | None = None


class Task(BaseModel, frozen=True):
    """An image with its annotations, and its predictions, whole or as their ids."""

    id: int
    data: dict[str, Any]
    annotations: list[Annotation]
    predictions: list[Any] = []

    def newest(self) -> Annotation | None:
        """Return the annotation changed last of those that were not cancelled (skipped)."""
        kept = [annotation for annotation in self.annotations if not annotation.was_cancelled]
        return max(kept, key=lambda one: (one.updated_at or one.created_at or "", one.id or 0), default=None)


@dataclass(frozen=True, eq=False)
class Region:
    """An outlined region of an annotation or a prediction.

    Attributes
    ----------
    id : the same in a prediction and in an annotation that was begun with it; "" where it has none.
    mask : bool (H, W), maybe all False.
    label : all its labels, joined by commas, or `UNLABELLED`.
    """

    id: str
    mask: BoolArray
    label: str


def read_tasks(file: Path) -> list[Task]:
    """Read an export.

    Raises
    ------
    EvaluationError
        If it is not Label Studio's JSON export.
    """
    content = read_json(file, EvaluationError)
    if not isinstance(content, list) or any("annotations" not in task for task in content if isinstance(task, dict)):
        raise EvaluationError(f"{file} is not a list of tasks with annotations; export it as JSON, not JSON-MIN.")
    return checked(list[Task], content, str(file), EvaluationError)


@dataclass(frozen=True)
class LabelStudio:
    """Brushes, bitmasks, polygons, rectangles and ellipses of each task's newest annotation; each region is one object.

    Tasks without an annotation, or with cancelled ones only, are left out; one whose annotation is empty is an image
    without objects. `folder` may be the exported file itself. Images are looked for by their file names, in `images`
    or else in the export's folder, at any depth.
    """

    folder: Path
    rule: ObjectRule = DEFAULT_RULE
    images: Path | None = None

    card = DatasetCard(
        name="label_studio",
        title="Label Studio's JSON export",
        layout="one *.json exported as JSON, not JSON-MIN (or give the file itself), and the tasks' images in any "
        "folder beside it, named as they were when they were uploaded or as Label Studio stores them.",
        licence="of the data set in this format",
        source="https://labelstud.io/guide/export",
    )

    def names(self) -> Sequence[str]:
        """Return `<task>/<image>` of all annotated tasks."""
        return require_some(
            self._tasks, self._file, f"tasks with annotations that are not cancelled. {self.card.layout}"
        )

    def load(self, name: str) -> Sample:
        """Read a task's image and the regions of its newest annotation."""
        task = self._tasks.get(name)
        annotation = task.newest() if task else None
        if task is None or annotation is None:
            raise BrokenSampleError(f"{self._file} has no annotated task {name}; take one of its own.")
        path = self._image_path(task)
        image = read_image(path)
        instances = _instances(annotation.result or [], (image.shape[0], image.shape[1]), f"task {task.id}, {path}")
        return Sample(name, image, objects_of_instances(instances, self.rule))

    @cached_property
    def _file(self) -> Path:
        return annotation_file(self.folder, ("*.json",), self.card.layout)

    @cached_property
    def _tasks(self) -> dict[str, Task]:
        return {_name(task): task for task in read_tasks(self._file) if task.newest() is not None}

    @cached_property
    def _images(self) -> dict[str, list[Path]]:
        """The images that may be meant, by their names as Label Studio would store them."""
        found: dict[str, list[Path]] = {}
        for path in image_files(self.images or self._file.parent, "**/*"):
            found.setdefault(_stored_name(path.name), []).append(path)
        return found

    def _image_path(self, task: Task) -> Path:
        candidates = _image_references(task.data)
        if not candidates:
            raise BrokenSampleError(
                f"Task {task.id} of {self._file} names no image; its data should hold the image's URL."
            )
        if len(candidates) > 1 and "image" not in candidates:
            keys = ", ".join(candidates)
            raise BrokenSampleError(
                f"Task {task.id} of {self._file} names several images ({keys}); call the annotated one 'image'."
            )
        wanted = candidates.get("image") or next(iter(candidates.values()))
        uploaded = _UPLOADED.fullmatch(wanted.name)
        # Kept as Label Studio stores it, or as it was before it was uploaded.
        names = [wanted.name, *([uploaded[1]] if uploaded else [])]
        found = next((self._images[name] for name in map(_stored_name, names) if name in self._images), [])
        if not found:
            root = self.images or self._file.parent
            raise BrokenSampleError(
                f"The image of task {task.id}, {' or '.join(names)}, is not in {root}; put it there."
            )
        shared = [_common_end(path.parts, wanted.parts) for path in found]
        if shared.count(max(shared)) > 1:
            where = ", ".join(str(path) for path in found)
            raise BrokenSampleError(f"The image of task {task.id} may be any of {where}; keep only the annotated one.")
        return found[shared.index(max(shared))]


def region_mask(region: Mapping[str, Any]) -> BoolArray | None:
    """Rasterise one region of an annotation's or a prediction's `result`.

    Parameters
    ----------
    region : as Label Studio serialises it, with `original_width`, `original_height` and `value`. What kind it is, is
        seen from its value, since a region labelled by a `Labels` tag is of the type "labels" whatever its shape.

    Returns
    -------
    bool (original_height, original_width), maybe all False; None for what has no area: key points, choices, texts,
    relations. Of a brush and a bitmask the pixels with an alpha of 128 or more; of shapes those that `polygons` says,
    where 100 per cent are the image's full width and height. A polygon is taken as closed.

    Raises
    ------
    BrokenSampleError
        If it misses what its kind needs, does not decode, or was drawn on an image turned in Label Studio.
    """
    value = region.get("value")
    if not isinstance(value, Mapping):
        return None
    kinds = {"rle": _brush, "imageDataURL": _bitmask, "points": _polygon, "radiusX": _ellipse, "height": _rectangle}
    rasterise = next((kinds[key] for key in kinds if key in value), None)
    if rasterise is None or "sequence" in value:
        return None
    what = f"Region {region.get('id', '')}".rstrip()
    frame = checked(_Frame, dict(region), what)
    if frame.image_rotation:
        raise BrokenSampleError(
            f"{what} was drawn on an image turned by {frame.image_rotation:g} degrees in Label Studio; only upright "
            "images are read, so turn it back there."
        )
    return rasterise(value, (frame.original_height, frame.original_width), what)


def region_label(region: Mapping[str, Any]) -> str | None:
    """Return a region's labels, joined by commas; None if it has none."""
    value = region.get("value")
    if isinstance(value, Mapping):
        for key, labels in value.items():
            if key.endswith("labels") and isinstance(labels, list) and labels:
                return ", ".join(map(str, labels))
    return None


def regions(result: Sequence[Mapping[str, Any]]) -> Iterator[Region]:
    """Yield the regions of a `result` that have an area; errors as of `region_mask`."""
    # A region can have several results of one id: its shape, its label, its choices and texts.
    by_id: dict[object, list[Mapping[str, Any]]] = {}
    for index, entry in enumerate(result):
        by_id.setdefault(entry.get("id") or index, []).append(entry)
    for entries in by_id.values():
        mask = next((mask for mask in map(region_mask, entries) if mask is not None), None)
        if mask is not None:
            label = next((label for label in map(region_label, entries) if label), UNLABELLED)
            yield Region(str(entries[0].get("id") or ""), mask, label)


def _instances(
    result: Sequence[Mapping[str, Any]], size: tuple[int, int], what: str
) -> Iterator[tuple[BoolArray, str]]:
    for region in regions(result):
        if region.mask.shape != size:
            height, width = region.mask.shape
            raise BrokenSampleError(
                f"Region {region.id} was drawn on an image of {width} x {height} pixels, but that of {what} is "
                f"{size[1]} x {size[0]}; put the image there that was annotated."
            )
        yield region.mask, region.label


def _brush(value: Mapping[str, Any], size: tuple[int, int], what: str) -> BoolArray:
    # Takes a second to import, and only brushes need it.
    from label_studio_sdk.converter.brush import decode_rle

    try:
        packed = bytes(value["rle"])
    except (TypeError, ValueError):
        raise BrokenSampleError(f"{what} is a brush, whose rle should be a list of bytes from 0 to 255.") from None
    # Checked before anything is unpacked: the first four bytes tell how much it will be.
    total, expected = int.from_bytes(packed[:4], "big"), size[0] * size[1] * _CHANNELS
    if total != expected:
        raise BrokenSampleError(
            f"{what} is a brush of {total} bytes, but its image of {size[1]} x {size[0]} pixels needs {expected}."
        )
    try:
        pixels = decode_rle(packed)
    except (ValueError, IndexError, OverflowError):
        raise BrokenSampleError(f"{what} is a brush that breaks off or is damaged; export it again.") from None
    mask: BoolArray = pixels.reshape(*size, _CHANNELS)[..., 3] >= _OPAQUE
    return mask


def _bitmask(value: Mapping[str, Any], size: tuple[int, int], what: str) -> BoolArray:
    url = value["imageDataURL"]
    if not isinstance(url, str) or not url.startswith(_PNG):
        raise BrokenSampleError(f"{what} is a bitmask, whose imageDataURL should start with '{_PNG}'.")
    image = embedded_png(url.removeprefix(_PNG), f"The bitmask inside {what}", size)
    if image.size != (size[1], size[0]):
        raise BrokenSampleError(
            f"{what} is a bitmask of {image.width} x {image.height} pixels, its image {size[1]} x {size[0]}; "
            "both must agree."
        )
    mask: BoolArray = np.asarray(image.convert("RGBA"))[..., 3] >= _OPAQUE
    return mask


def _polygon(value: Mapping[str, Any], size: tuple[int, int], what: str) -> BoolArray:
    points = checked(list[tuple[FiniteFloat, FiniteFloat]], value["points"], what)
    return polygon_mask(np.reshape(points, (-1, 2)) * (size[1] / 100, size[0] / 100), size)


def _rectangle(value: Mapping[str, Any], size: tuple[int, int], what: str) -> BoolArray:
    drawn = checked(_Rectangle, dict(value), what)
    x, width = (share / 100 * size[1] for share in (drawn.x, drawn.width))
    y, height = (share / 100 * size[0] for share in (drawn.y, drawn.height))
    return rectangle_mask((x, y, width, height), size, drawn.rotation or 0.0)


def _ellipse(value: Mapping[str, Any], size: tuple[int, int], what: str) -> BoolArray:
    drawn = checked(_Ellipse, dict(value), what)
    x, radius_x = (share / 100 * size[1] for share in (drawn.x, drawn.radius_x))
    y, radius_y = (share / 100 * size[0] for share in (drawn.y, drawn.radius_y))
    return ellipse_mask((x, y), (radius_x, radius_y), size, drawn.rotation or 0.0)


def _name(task: Task) -> str:
    candidates = _image_references(task.data)
    image = candidates.get("image") or next(iter(candidates.values()), PurePosixPath())
    return f"{task.id}/{image.name}" if image.name else str(task.id)


def _image_references(data: Mapping[str, Any]) -> dict[str, PurePosixPath]:
    """Return the paths of the values of a task's data that are URLs or paths of images, by their keys."""
    paths = {key: _url_path(value) for key, value in data.items() if isinstance(value, str)}
    return {key: path for key, path in paths.items() if path.suffix.lower() in IMAGE_SUFFIXES}


def _url_path(url: str) -> PurePosixPath:
    try:
        parts = urlsplit(url)
    except ValueError:
        return PurePosixPath()
    # Files of a local storage are all served at one path, which takes theirs as a query.
    served = parse_qs(parts.query).get("d") if parts.path.rstrip("/").endswith("/data/local-files") else None
    return PurePosixPath(served[0] if served else unquote(parts.path))


def _stored_name(name: str) -> str:
    """Return a file's name as Label Studio stores it: spaces become underscores, other odd characters go."""
    return re.sub(r"[^-\w.]", "", name.strip().replace(" ", "_"))


def _common_end(one: Sequence[str], other: Sequence[str]) -> int:
    """Return how many parts at the ends of two paths are the same."""
    pairs = list(zip(reversed(one), reversed(other), strict=False))
    return next((index for index, (a, b) in enumerate(pairs) if a != b), len(pairs))
