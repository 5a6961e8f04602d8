"""Labels of a data set -> predictions or annotations of a project in Label Studio."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from sam_backend.errors import BadRequestError
from sam_backend.labelstudio.config import LabelingConfig, Target, TaskImage
from sam_backend.labelstudio.image_tag import listed
from sam_backend.labelstudio.projects import Project, ProjectTask
from sam_backend.labelstudio.region_json import make_regions, prediction
from sam_backend.progress import ProgressCallback
from sam_backend.samples import Object, Sample
from sam_evaluation.datasets.boxes import NO_MASK, NO_OUTLINE, filled_box
from sam_evaluation.datasets.registry import DatasetSpec
from sam_evaluation.datasets.tally import Tally
from sam_evaluation.errors import BrokenSampleError
from sam_evaluation.exports.image_copy import png_bytes
from sam_evaluation.exports.source import CANNOT_BE_READ, EVERY_OBJECT, objects_of_first
from sam_evaluation.image_names import ImageNames

SHOWN = (".png", ".jpg", ".jpeg", ".bmp", ".webp")
"""Suffixes of images that every browser shows."""

_FIELD = re.compile(r"\$(\w+)")


@dataclass
class ImportCounts:
    """What was brought in.

    Attributes
    ----------
    tasks, masks, regions : int, tasks that were written, their masks, and the regions of these.
    uploaded : int, new tasks.
    earlier : int, tasks that have the labels, or an annotation, already.
    tally : Tally, what was left out.
    """

    tasks: int = 0
    masks: int = 0
    regions: int = 0
    uploaded: int = 0
    earlier: int = 0
    tally: Tally = field(default_factory=Tally)


class LabelImport:
    """Brings the labels of a data set into a project.

    An image of a task is that of the data set whose file has the same name, without the suffix and the eight digits
    that Label Studio puts before an upload. Of several, the one that shares most of the folders above is meant.

    Parameters
    ----------
    project : Project.
    spec : DatasetSpec, the data set.
    tag : str, the tag of the labeling config that takes the masks, such as "BrushLabels"; None for the most exact.
    tolerance : float, of polygons in pixels.

    Raises
    ------
    SamInspectError
        If the data set cannot be read, or the labeling config takes no masks, or lacks the tag.
    """

    def __init__(self, project: Project, spec: DatasetSpec, *, tag: str | None, tolerance: float) -> None:
        self._project, self._tolerance = project, tolerance
        # Some have boxes, too, see `BoxDataset`.
        self._dataset: Any = spec.open(EVERY_OBJECT)
        self._title = f"{spec.format}:{spec.folder}"
        config = LabelingConfig.parse(project.label_config)
        self._tag = tag.lower() if tag else None
        has = {output.control.tag for target in config.targets for output in target.every_output}
        if self._tag not in (None, *has):
            raise BadRequestError(
                f"The labeling config of project {project.id} has no {tag} (--tag) that takes masks; it has "
                f"{listed(sorted(has))}."
            )
        self._config = config
        self._names = ImageNames(self._dataset.names())
        where = "/".join(spec.folder.resolve().parts[-2:])
        self.version = f"import {spec.format}:{where}" + (f"@{spec.split}" if spec.split else "")

    def check(self, progress: ProgressCallback, *, upload: bool) -> list[str]:
        """Check everything before any work; return the images that no task shows.

        Parameters
        ----------
        progress : called with the numbers of images read and in all.
        upload : bool, whether these images will get a task.

        Raises
        ------
        BadRequestError
            If the labeling config does not know a label, no image is in the project, or it cannot be uploaded.
        """
        if upload:
            self._upload_field()
        matched = {
            name
            for task in self._project.list_tasks()
            for image in self._config.images(task.data)
            if (name := self._name_of(image, task.data))
        }
        without = [name for name in self._names.every if name not in matched]
        if not matched and not upload:
            raise BadRequestError(
                f"No task of project {self._project.id} shows an image with the name of one of the "
                f"{len(without)} images of {self._title}; upload them with --upload."
            )
        self._check_labels(self._names.every if upload else sorted(matched), progress)
        return without

    def upload(self, names: Sequence[str], counts: ImportCounts, progress: ProgressCallback) -> None:
        """Make a task of each image."""
        for done, name in enumerate(names):
            progress(done, len(names))
            unread = Tally()
            sample = self._load(name, unread)
            if sample is None:
                counts.tally.leave_out(CANNOT_BE_READ, unread.examples[CANNOT_BE_READ])
                continue
            file = sample.file
            is_shown = file is not None and file.suffix.lower() in SHOWN
            suffix = file.suffix if file is not None and is_shown else ".png"
            content = file.read_bytes() if file is not None and is_shown else png_bytes(sample.image)
            self._project.add_image(self._names.stems[name] + suffix, content, self._upload_field())
            counts.uploaded += 1
        progress(len(names), len(names))

    def run(self, counts: ImportCounts, progress: ProgressCallback, *, annotate: bool, again: bool) -> None:
        """Write the labels into Label Studio, task by task; a run that was interrupted goes on when it is repeated.

        Parameters
        ----------
        counts : ImportCounts, counts what is done.
        progress : called with the numbers of tasks done and in all.
        annotate : bool, whether the labels become annotations; a task that has an annotation keeps it alone. Else they
            become predictions of the model version `version`.
        again : bool, whether tasks that have the labels or an annotation get them once more.
        """
        total = sum(1 for _ in self._project.list_tasks())
        for done, task in enumerate(self._project.tasks()):
            progress(done, total)
            found = ((image, self._name_of(image, task.data)) for image in self._config.images(task.data))
            images = [(image, name) for image, name in found if name]
            if not images:
                continue
            if not again and (task.is_labelled if annotate else task.has_prediction(self.version)):
                counts.earlier += 1
                continue
            self._write(task, images, counts, annotate=annotate)
        progress(total, total)

    def _write(
        self, task: ProjectTask, images: Iterable[tuple[TaskImage, str]], counts: ImportCounts, *, annotate: bool
    ) -> None:
        regions: list[dict[str, Any]] = []
        read = masks = 0
        for image, name in images:
            sample = self._load(name, counts.tally)
            if sample is None:
                continue
            read += 1
            for target in objects_of_first(sample, counts.tally):
                takes = self._narrowed(image.target)
                if not takes.knows(target.label):
                    counts.tally.leave_out("mask whose label the controls of its image lack", name)
                    continue
                regions += self._regions(target, image, takes)
                masks += 1
        if not read:
            return
        if annotate:
            self._project.annotate(task, [{**region, "origin": "manual"} for region in regions])
        else:
            self._project.predict(task, prediction(regions, 1.0, self.version))
        counts.tasks += 1
        counts.masks += masks
        counts.regions += len({region["id"] for region in regions})

    def _regions(self, target: Object, image: TaskImage, takes: Target) -> list[dict[str, Any]]:
        label = target.label if takes.outputs[0].labeler is not None else None
        return make_regions(target.cropped, takes, label=label, item_index=image.item_index, tolerance=self._tolerance)

    def _load(self, name: str, tally: Tally) -> Sample | None:
        """Return a sample, with its boxes as objects where the labeling config takes rectangles."""
        boxes: Sequence[Object] = ()
        try:
            if self._takes_boxes:
                boxed = self._dataset.boxes(name)
                boxes = [filled_box(one, boxed.size, self._classes_of_boxes[one.category]) for one in boxed.boxes]
            sample: Sample = self._dataset.load(name)
        except BrokenSampleError as error:
            if not boxes:
                tally.leave_out(CANNOT_BE_READ, str(error))
                return None
            # It has boxes alone, and nothing else that can be used.
            sample = Sample(name, boxed.image, left_out=boxed.tally.counts, file=boxed.file)
        left_out = dict(sample.left_out)
        for reason in (NO_MASK, NO_OUTLINE):
            left_out[reason] = left_out.get(reason, 0) and left_out[reason] - len(boxes)
        sample = replace(sample, objects=(*sample.objects, *boxes), left_out=left_out)
        tally.add(sample)
        return sample

    @cached_property
    def _takes_boxes(self) -> bool:
        shapes = {output.control.shape for target in self._targets for output in target.outputs}
        return hasattr(self._dataset, "boxes") and "rectangle" in shapes

    @cached_property
    def _classes_of_boxes(self) -> dict[int | str, str]:
        return {category["id"]: str(category["name"]) for category in self._dataset.coco_head()["categories"]}

    @cached_property
    def _targets(self) -> list[Target]:
        return [self._narrowed(target) for target in self._config.targets]

    def _narrowed(self, target: Target) -> Target:
        return target.narrowed(self._tag) if self._tag else target

    def _name_of(self, image: TaskImage, data: Mapping[str, Any]) -> str | None:
        try:
            return self._names.find(image.address(data))
        except BadRequestError:
            return None

    def _upload_field(self) -> str:
        """Return the field of a task's data that holds the address of its image."""
        value = self._config.target().image.value
        found = _FIELD.fullmatch(value)
        if found is None or len(self._config.targets) > 1 or self._config.repeated:
            raise BadRequestError(
                f"--upload needs a labeling config with one image whose value is one field, such as $image; that of "
                f"project {self._project.id} has {listed(target.image.value for target in self._config.targets)}."
            )
        return found[1]

    def _check_labels(self, names: Sequence[str], progress: ProgressCallback) -> None:
        """Check that the labeling config knows all labels of some images; they are read where nothing names them."""
        targets = self._targets
        if all(output.labeler is None for target in targets for output in target.outputs):
            return
        labels = dict.fromkeys(self._dataset.classes())
        if not labels or not all(any(target.knows(label) for target in targets) for label in labels):
            labels, tally = {}, Tally()
            for done, name in enumerate(names):
                progress(done, len(names))
                sample = self._load(name, tally)
                labels |= dict.fromkeys(target.label for target in (sample.objects if sample else ()))
            progress(len(names), len(names))
        unknown = [label for label in labels if not any(target.knows(label) for target in targets)]
        if unknown:
            raise BadRequestError(
                f"The labeling config of project {self._project.id} does not know {listed(unknown)} of {self._title}; "
                f"it knows {listed(self._config.labels)}. Add the labels there."
            )
