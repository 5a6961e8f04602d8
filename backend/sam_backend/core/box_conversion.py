"""The boxes of a project, made into masks: every box becomes a mask with its label and a score."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sam_backend.arrays import FloatArray, ImageArray
from sam_backend.core.large_images import Answer, LargeAnswers
from sam_backend.core.project_work import ProjectWork
from sam_backend.core.task_embeddings import TaskEmbedding
from sam_backend.core.task_proposals import TaskProposals
from sam_backend.errors import BadRequestError, SamInspectError
from sam_backend.labelstudio.config import LabelingConfig, TaskImage
from sam_backend.labelstudio.config_tags import read_tags
from sam_backend.labelstudio.image_tag import listed
from sam_backend.labelstudio.projects import ProjectTask
from sam_backend.labelstudio.prompts import DrawnPrompt, read_drawn
from sam_backend.labelstudio.region_masks import entries_by_region
from sam_backend.pipeline.scene import ProposedMask
from sam_backend.progress import ProgressCallback
from sam_backend.segmenters import Prompt
from sam_backend.segmenters.answers_memo import AnswersMemo
from sam_backend.segmenters.batched import best_masks
from sam_backend.segmenters.pixels import mapping_of, reader_of

Entry = Mapping[str, Any]

VERSION_SUFFIX = "-boxes"
"""Behind the model's version in the model version of the predictions, so that proposals do not replace them."""

_BOXES = ("rectangle", "ellipse", "polygon", "vector")
"""Shapes whose bounds are a box."""


@dataclass(frozen=True, eq=False)
class ConvertedImage:
    """One image of a task with its boxes and their masks.

    Attributes
    ----------
    task : int, the task's id.
    image : TaskImage.
    fetched : TaskEmbedding, the image's embedding.
    boxes : list of (4,) xyxy in pixels of the image.
    found : list of ProposedMask, one for each box, with its label and its predicted IoU.
    entries : list of dict, what the task's `result` holds of the boxes.
    """

    task: int
    image: TaskImage
    fetched: TaskEmbedding
    boxes: Sequence[FloatArray]
    found: Sequence[ProposedMask]
    entries: Sequence[Entry]

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) in pixels."""
        return self.fetched.embedding.size


@dataclass
class ConversionCounts:
    """What was converted.

    Attributes
    ----------
    tasks, masks : int, tasks that were written, and their masks.
    earlier : int, tasks that an earlier run had converted.
    problems : list of str, one sentence for each box or task that was left out.
    """

    tasks: int = 0
    masks: int = 0
    earlier: int = 0
    problems: list[str] = field(default_factory=list)


class BoxConversion:
    """Converts the boxes of a project.

    Of a task, its newest annotation counts, and without any its newest prediction that this did not make.

    Parameters
    ----------
    work : ProjectWork, the project and the model.
    source, target : str, tags of the labeling config, such as "RectangleLabels" and "BrushLabels".

    Raises
    ------
    BadRequestError
        If the labeling config lacks one of the tags.
    """

    def __init__(self, work: ProjectWork, source: str, target: str) -> None:
        self._work = work
        config = LabelingConfig.parse(work.project.label_config)
        self._config = config
        # A tool for prompts alone may have drawn the boxes, but no mask can be its region.
        drawn = {control.tag for control in read_tags(work.project.label_config).controls}
        taken = {output.control.tag for image in config.targets for output in image.every_output}
        for option, tag, there in (("--from", source, drawn), ("--to", target, taken)):
            if tag.lower() not in there:
                raise BadRequestError(
                    f"The labeling config of project {work.project.id} has no {tag} ({option}) on an image; it has "
                    f"{listed(sorted(there))}."
                )
        if source.lower().removesuffix("labels") not in _BOXES:
            raise BadRequestError(f"--from takes RectangleLabels, EllipseLabels or PolygonLabels; got {source}.")
        self._source, self._target = source.lower(), target.lower()
        self.version = work.segmenter.version + VERSION_SUFFIX

    def preview(self, limit: int, counts: ConversionCounts, progress: ProgressCallback) -> Iterator[ConvertedImage]:
        """Yield the first images with boxes, at most `limit`; nothing is written."""
        shown = 0
        for task in self._work.project.tasks():
            for converted in self._images(task, counts):
                yield converted
                shown += 1
                progress(shown, limit)
                if shown == limit:
                    return
        progress(limit, limit)

    def pixels(self, converted: ConvertedImage) -> ImageArray:
        """Return an image to look at, uint8 RGB (h, w, 3), a large one shrunk."""
        return reader_of(converted.fetched.overview(self._work.segmenter)).rgb()

    def run(self, progress: ProgressCallback, *, annotate: bool, again: bool) -> ConversionCounts:
        """Write the masks into Label Studio, task by task; a run that was interrupted goes on when it is repeated.

        Parameters
        ----------
        progress : called with the numbers of tasks done and in all.
        annotate : whether the masks become a new annotation, with all of the one that had the boxes but those that
            became masks; else they become a prediction.
        again : whether tasks that have such a prediction get a new one.
        """
        counts, project = ConversionCounts(), self._work.project
        total = sum(1 for _ in project.list_tasks())
        for done, task in enumerate(project.tasks()):
            progress(done, total)
            if not annotate and not again and task.has_prediction(self.version):
                counts.earlier += 1
                continue
            made, replaced = TaskProposals(self._work.tolerance), set()
            for converted in self._images(task, counts):
                made.add(self._with_target(converted.image), converted.found, mapping_of(converted.fetched.embedding))
                replaced |= set(map(id, converted.entries))
            if not made.regions:
                continue
            if annotate:
                groups = self._groups(_shown(task, self.version))
                kept = [entry for group in groups for entry in group if id(entry) not in replaced]
                project.annotate(task, [*kept, *made.regions])
            else:
                project.predict(task, made.prediction(self.version))
            counts.tasks += 1
            counts.masks += len(made.scores)
        progress(total, total)
        return counts

    def _images(self, task: ProjectTask, counts: ConversionCounts) -> Iterator[ConvertedImage]:
        """Yield the images of a task that have boxes, with the masks of the model."""
        config = self._config.of_task(task.data)
        drawn: dict[tuple[str, int], list[tuple[DrawnPrompt, list[Entry]]]] = {}
        for group in filter(self._is_box, self._groups(_shown(task, self.version))):
            try:
                prompt = read_drawn(group, config, max_pixels=1)
                if prompt is not None:
                    prompt.target.narrowed(self._target).output(prompt.label)
                    place = prompt.target.image.name, prompt.item_index or 0
                    drawn.setdefault(place, []).append((prompt, group))
            except SamInspectError as error:
                counts.problems.append(f"A box of task {task.id} is left out: {error}")
        for image, fetched in self._work.images(task) if drawn else ():
            if prompts := drawn.pop(image.place, []):
                yield self._converted(task, image, fetched, prompts, counts)
        # Why an image could not be read is in the log.
        counts.problems += [f"The boxes of task {task.id} on {name} are left out: no image." for name, _ in drawn]

    def _converted(
        self,
        task: ProjectTask,
        image: TaskImage,
        fetched: TaskEmbedding,
        drawn: Sequence[tuple[DrawnPrompt, list[Entry]]],
        counts: ConversionCounts,
    ) -> ConvertedImage:
        size = fetched.embedding.size
        prompts, asked = [], []
        for one, group in drawn:
            try:
                # Its bounds count alone, also of a turned rectangle, an ellipse or a polygon.
                prompts.append(replace(replace(one, clicks=()).to_prompt(size), drawn=None))
                asked.append((one.label, group))
            except SamInspectError as error:
                counts.problems.append(f"A box of task {task.id} is left out: {error}")
        found, entries = [], []
        for answer, (label, group) in zip(self._answers(fetched, prompts), asked, strict=True):
            if answer.mask.area:
                found.append(ProposedMask(answer.mask, label, answer.predicted_iou))
                entries += group
            else:
                counts.problems.append(f"A box of task {task.id} is left out: the model sees nothing in it.")
        boxes = [prompt.box for prompt in prompts if prompt.box is not None]
        return ConvertedImage(task.id, image, fetched, boxes, found, entries)

    def _answers(self, fetched: TaskEmbedding, prompts: Sequence[Prompt]) -> list[Answer]:
        segmenter = self._work.segmenter
        if fetched.large is not None:
            large = LargeAnswers(AnswersMemo())
            return [large.refine(fetched.large, lambda _: segmenter, prompt, "") for prompt in prompts]
        return [Answer(*answer) for answer in best_masks(segmenter, fetched.embedding, prompts)]

    def _is_box(self, group: Sequence[Entry]) -> bool:
        return any(entry.get("type") == self._source for entry in group)

    def _groups(self, result: Any) -> list[list[Entry]]:
        entries = [entry for entry in result if isinstance(entry, Mapping)] if isinstance(result, list) else []
        return entries_by_region(entries)

    def _with_target(self, image: TaskImage) -> TaskImage:
        return replace(image, target=image.target.narrowed(self._target))


def _shown(task: ProjectTask, own_version: str) -> Any:
    """Return the `result` whose boxes count; predictions of `own_version` do not."""
    annotations = [annotation for annotation in task.annotations if not annotation.get("was_cancelled")]
    if annotations:
        return max(annotations, key=lambda annotation: str(annotation.get("updated_at"))).get("result")
    others = [prediction for prediction in task.predictions if prediction.model_version != own_version]
    return max(others, key=lambda prediction: prediction.id).result if others else None
