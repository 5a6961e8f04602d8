"""Label Studio's JSON export."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

from sam_backend.arrays import BoolArray
from sam_backend.labelstudio.accepted_masks import ImageRegions
from sam_backend.labelstudio.exports import Export
from sam_backend.labelstudio.region_masks import entries_by_region, regions_of
from sam_backend.samples import Sample
from sam_evaluation.datasets.dataset import Dataset, DatasetCard
from sam_evaluation.datasets.exported_images import ImageFields
from sam_evaluation.datasets.image_finder import UPLOADED, common_end
from sam_evaluation.datasets.instances import objects_of_instances
from sam_evaluation.datasets.json_files import annotation_file, read_json
from sam_evaluation.datasets.objects import DEFAULT_RULE, ObjectRule
from sam_evaluation.datasets.sample_files import image_files, read_image, require_some
from sam_evaluation.datasets.tally import Tally
from sam_evaluation.errors import BrokenSampleError, EvaluationError


@dataclass(frozen=True)
class _AnnotatedFile:
    """An annotated image: its task's id, the path in its address, its regions, and why it cannot be read, or ""."""

    task: int
    path: PurePosixPath
    regions: ImageRegions
    problem: str


def read_export(file: Path) -> Export:
    """Read an export.

    Raises
    ------
    EvaluationError
        If it is not Label Studio's JSON export.
    """
    return Export.of_json(read_json(file, EvaluationError), str(file), EvaluationError)


@dataclass(frozen=True)
class LabelStudio(Dataset):
    """The masks of each task's newest annotation, by the rule of `labelstudio.accepted_masks`; each is one object.

    Every image that has regions is a sample. A task whose annotation is empty is one image without objects; tasks
    without an annotation, or with cancelled ones only, are left out. `folder` may be the exported file itself. Images
    are looked for by their file names, in `images` or else in the export's folder, at any depth.
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
        """Return `<task>/<image>` of all annotated images."""
        return require_some(
            self._annotated,
            self._file,
            f"tasks with annotations that have masks and are not cancelled. {self.card.layout}",
        )

    def group(self, name: str) -> str:
        """Return the id of an image's task: its images stay together."""
        return name.partition("/")[0]

    def left_out(self) -> Mapping[str, int]:
        """Return the counts of tasks and annotations that are not read."""
        counts: Counter[str] = Counter({"task that cannot be read": len(self._export.unreadable)})
        for task in self._export.tasks:
            kept = sum(not annotation.was_cancelled for annotation in task.annotations)
            if not task.annotations:
                counts["task without an annotation"] += 1
            elif not kept:
                counts["task whose annotations were all cancelled (skipped)"] += 1
            else:
                counts["annotation that is not the newest of its task"] += kept - 1
        return {reason: number for reason, number in counts.items() if number}

    def load(self, name: str) -> Sample:
        """Read an image and the masks of its task's newest annotation."""
        annotated = self._annotated.get(name)
        if annotated is None:
            raise BrokenSampleError(f"{self._file} has no annotated image {name}; take one of its own.")
        if annotated.problem:
            raise BrokenSampleError(f"Task {annotated.task} of {self._file} {annotated.problem}")
        path = self._find_file(annotated.task, annotated.path)
        image = read_image(path)
        what = f"task {annotated.task}, {path}"
        tally = Tally()
        for region in annotated.regions.unused:
            tally.leave_out(f"region that is no mask: {region.reason}", f"region {region.id}" if region.id else "")
        instances = region_instances(annotated.regions, (image.shape[0], image.shape[1]), what, tally)
        return tally.sample(name, image, objects_of_instances(instances, self.rule, tally), path)

    @cached_property
    def _file(self) -> Path:
        return annotation_file(self.folder, ("*.json",), self.card.layout)

    @cached_property
    def _export(self) -> Export:
        return read_export(self._file)

    @cached_property
    def _annotated(self) -> dict[str, _AnnotatedFile]:
        export = self._export
        tasks = [
            (task, ImageFields.of(task.data), export.read(task, annotation.result) or (ImageRegions("", 0),))
            for task in export.tasks
            if (annotation := task.newest()) is not None
        ]
        unknown = {one.to_name for _, fields, images in tasks for one in images if one.to_name not in fields.paths}
        annotated = {}
        for task, fields, images in tasks:
            for regions in images:
                try:
                    path = fields.find(regions.to_name, regions.item_index, unknown - {""})
                    reason = regions.left_out
                    name, problem = fields.name(task.id, path), f"is left out: {reason}." if reason else ""
                except BrokenSampleError as error:
                    place = [regions.to_name, str(regions.item_index or "")]
                    name, path, problem = "/".join([str(task.id), *filter(None, place)]), PurePosixPath(), str(error)
                annotated[name] = _AnnotatedFile(task.id, path, regions, problem)
        return annotated

    @cached_property
    def _images(self) -> dict[str, list[Path]]:
        """The images that may be meant, by their names as Label Studio would store them."""
        images: dict[str, list[Path]] = {}
        for path in image_files(self.images or self._file.parent, "**/*"):
            images.setdefault(stored_name(path.name), []).append(path)
        return images

    def _find_file(self, task: int, wanted: PurePosixPath) -> Path:
        uploaded = UPLOADED.fullmatch(wanted.name)
        # The file has the name that Label Studio gave it, or the one before it was uploaded.
        names = [wanted.name, *([uploaded[1]] if uploaded else [])]
        paths = next((self._images[name] for name in map(stored_name, names) if name in self._images), [])
        if not paths:
            root = self.images or self._file.parent
            raise BrokenSampleError(f"The image of task {task}, {' or '.join(names)}, is not in {root}; put it there.")
        shared = [common_end(path.parts, wanted.parts) for path in paths]
        if shared.count(max(shared)) > 1:
            where = ", ".join(str(path) for path in paths)
            raise BrokenSampleError(f"The image of task {task} may be any of {where}; keep only the annotated one.")
        return paths[shared.index(max(shared))]


def region_instances(
    regions: ImageRegions, size: tuple[int, int], what: str, tally: Tally
) -> Iterator[tuple[BoolArray, str]]:
    """Yield the mask and the label of each region.

    Parameters
    ----------
    regions : ImageRegions of the image.
    size : (H, W) of the image; regions of another size are left out.
    what : str, names the image in a sentence.
    tally : Tally that counts the regions that cannot be used.
    """
    for entries in entries_by_region(regions.entries):
        where = f"region {entries[0].get('id') or '?'}"
        try:
            masks = list(regions_of(entries))
        except BrokenSampleError as error:
            tally.leave_out("region that cannot be read", where, str(error))
            continue
        for region in masks:
            if region.mask.shape == size:
                yield region.mask, region.label
                continue
            height, width = region.mask.shape
            tally.leave_out(
                "region that was drawn on an image of another size",
                where,
                f"Region {region.id} was drawn on an image of {width} x {height} pixels, but that of {what} is "
                f"{size[1]} x {size[0]}; put the image there that was annotated.",
            )


def stored_name(name: str) -> str:
    """Return a file's name as Label Studio stores it: spaces become underscores, other odd characters go."""
    return re.sub(r"[^-\w.]", "", unicodedata.normalize("NFC", name).strip().replace(" ", "_"))
