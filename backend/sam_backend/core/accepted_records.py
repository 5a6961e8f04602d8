"""Makes records of the memory from accepted annotations, and reads the masks of records."""

from __future__ import annotations

from sam_backend.labelstudio.accepted_masks import read_annotation
from sam_backend.labelstudio.config import LabelingConfig
from sam_backend.labelstudio.messages import Annotation, Task
from sam_backend.labelstudio.region_masks import regions_of
from sam_backend.memory.features import AcceptedMask
from sam_backend.memory.records import Record


def make_records(annotation: Annotation, task: Task, label_config: str) -> list[Record]:
    """Return the records of an annotation: one per image that it has regions on, at least one.

    Raises
    ------
    BadRequestError
        If the labeling config has no control for masks, or the task has no image.
    """
    task_id, updated = int(annotation.task or task.id or 0), annotation.updated_at or ""
    if annotation.was_cancelled:
        return [Record(annotation.id, updated, task_id, left_out="it was skipped")]
    accepted = read_annotation(annotation.result, task.data, LabelingConfig.parse(label_config))
    if not accepted.images:
        reason = "none of its regions is on an image that takes masks"
        return [Record(annotation.id, updated, task_id, left_out=reason)]
    return [
        Record(
            annotation.id,
            updated,
            task_id,
            image.address,
            [dict(entry) for entry in image.regions.entries],
            image.regions.left_out,
            index=image.index,
        )
        for image in accepted.images
    ]


def accepted_masks(record: Record) -> list[AcceptedMask]:
    """Return the masks of a record, empty ones too. Errors as of `region_mask`."""
    return [AcceptedMask(region.mask, region.label) for region in regions_of(record.regions)]
