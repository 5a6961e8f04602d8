"""Label Studio's JSON export, checked, with the rule that says which of its regions are masks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pydantic import BaseModel, FiniteFloat

from sam_backend.errors import BrokenSampleError, SamInspectError, brief
from sam_backend.labelstudio.accepted_masks import ImageRegions, MaskRule, read_regions
from sam_backend.validation import checked


class ExportedAnnotation(BaseModel, frozen=True):
    """An annotation of an export.

    Attributes
    ----------
    parent_prediction : int, the id of the prediction it was begun with.
    prediction : a copy of a prediction that the task had when this was saved, mostly of the same; {} without.
    completed_by : the person's id, or an object about that person.
    lead_time : float, seconds the page was open; None where no page was.
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


class ExportedTask(BaseModel, frozen=True):
    """A task of an export.

    Attributes
    ----------
    predictions : whole, or their ids alone.
    masks_only : bool, whether its regions were chosen with the labeling config already, so that all of them are masks.
        Our own exports say so; Label Studio's never do.
    """

    id: int
    data: dict[str, Any]
    annotations: list[ExportedAnnotation]
    predictions: list[Any] = []
    masks_only: bool = False

    def newest(self) -> ExportedAnnotation | None:
        """Return the annotation changed last of those that were not cancelled (skipped)."""
        kept = [annotation for annotation in self.annotations if not annotation.was_cancelled]
        return max(kept, key=lambda one: (one.updated_at or one.created_at or "", one.id or 0), default=None)


@dataclass(frozen=True)
class Export:
    """The tasks of an export, which holds no labeling config: see `MaskRule.of_results`.

    Attributes
    ----------
    tasks : those that can be read.
    unreadable : a sentence for each task that cannot.
    """

    tasks: tuple[ExportedTask, ...]
    unreadable: tuple[str, ...] = ()

    @classmethod
    def of_json(cls, content: object, what: str, error: type[SamInspectError]) -> Export:
        """Check the content of an export.

        Parameters
        ----------
        content : object, parsed JSON.
        what : str, names the export in an error.
        error : type of the error.

        Raises
        ------
        SamInspectError
            Of the type `error`, if it is not Label Studio's JSON export, or no task of it can be read.
        """
        tasks = content if isinstance(content, list) else None
        if tasks is None or any("annotations" not in task for task in tasks if isinstance(task, dict)):
            raise error(f"{what} is not a list of tasks with annotations; export it as JSON, not JSON-MIN.")
        readable, unreadable = [], []
        for index, task in enumerate(tasks, 1):
            number = brief(task.get("id", "without an id")) if isinstance(task, dict) else "that is no object"
            try:
                readable.append(checked(ExportedTask, task, f"Task {number} ({index}.) of {what}"))
            except BrokenSampleError as problem:
                unreadable.append(str(problem))
        if unreadable and not readable:
            raise error(unreadable[0])
        return cls(tuple(readable), tuple(unreadable))

    def read(self, task: ExportedTask, result: Sequence[Mapping[str, Any]] | None) -> tuple[ImageRegions, ...]:
        """Read a `result` of an annotation or a prediction of a task."""
        return read_regions(result or (), MaskRule() if task.masks_only else self._rule)

    @cached_property
    def _rule(self) -> MaskRule:
        newest = [task.newest() for task in self.tasks if not task.masks_only]
        return MaskRule.of_results(annotation.result or [] for annotation in newest if annotation)
