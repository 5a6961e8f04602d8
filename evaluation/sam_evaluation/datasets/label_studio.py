"""Label Studio's JSON export."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from pydantic import BaseModel, FiniteFloat

from sam_backend.arrays import BoolArray
from sam_backend.labelstudio.region_masks import regions_of
from sam_backend.samples import Sample
from sam_backend.validation import checked
from sam_evaluation.datasets.dataset import DatasetCard
from sam_evaluation.datasets.instances import objects_of_instances
from sam_evaluation.datasets.json_files import annotation_file, read_json
from sam_evaluation.datasets.objects import DEFAULT_RULE, ObjectRule
from sam_evaluation.datasets.sample_files import IMAGE_SUFFIXES, image_files, read_image, require_some
from sam_evaluation.errors import BrokenSampleError, EvaluationError

_UPLOADED = re.compile(r"[0-9a-f]{8}-(.+)")


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


def _instances(
    result: Sequence[Mapping[str, Any]], size: tuple[int, int], what: str
) -> Iterator[tuple[BoolArray, str]]:
    for region in regions_of(result):
        if region.mask.shape != size:
            height, width = region.mask.shape
            raise BrokenSampleError(
                f"Region {region.id} was drawn on an image of {width} x {height} pixels, but that of {what} is "
                f"{size[1]} x {size[0]}; put the image there that was annotated."
            )
        yield region.mask, region.label


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
