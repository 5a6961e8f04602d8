"""Makes records of the memory from accepted annotations, and reads the masks of records."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence

import numpy as np

from sam_backend.errors import SamInspectError
from sam_backend.labelstudio.accepted_masks import Entry, read_annotation
from sam_backend.labelstudio.brush_text import with_numbers
from sam_backend.labelstudio.config import LabelingConfig
from sam_backend.labelstudio.messages import Annotation, Task
from sam_backend.labelstudio.region_masks import UNLABELLED, entries_by_region, region_label, regions_of
from sam_backend.memory.features import AcceptedMask
from sam_backend.memory.records import Record
from sam_backend.segmenters.seams import tiles
from sam_backend.segmenters.views import View

logger = logging.getLogger(__name__)

_MAX_REASON = 500


def records_or_reason(annotation: Annotation, task: Task | None, label_config: str | None) -> list[Record]:
    """Return the records of an annotation. If it cannot be read, return one that says why, and log it in one line.

    Parameters
    ----------
    annotation : Annotation.
    task : Task of the annotation; None where an event does not say it.
    label_config : str, of the project; None where an event does not say it.
    """
    try:
        if task is None or label_config is None:
            raise SamInspectError("the event says neither its task nor the labeling config; run memory rebuild.")
        return make_records(annotation, task, label_config)
    except SamInspectError as error:
        reason = str(error).rstrip(".")
    # What one annotation holds must not cost the others.
    except Exception as error:
        reason = f"it cannot be read ({error!r})"
    reason = reason[:_MAX_REASON]
    number = annotation.task or (task.id if task else None) or 0
    logger.warning("Annotation %d of task %s is left out: %s.", annotation.id, number, reason)
    return [Record(annotation.id, annotation.updated_at or "", int(number), left_out=reason)]


def make_records(annotation: Annotation, task: Task, label_config: str) -> list[Record]:
    """Return the records of an annotation: one per image that it has regions on, at least one.

    Raises
    ------
    BadRequestError
        If the labeling config has no control for masks, the task has no image, or a mask is no list of numbers.
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
            [with_numbers(entry) for entry in image.regions.entries],
            image.regions.left_out,
            index=image.index,
            prediction=annotation.begun_with,
            masks=_masks_by_label(image.regions.entries),
        )
        for image in accepted.images
    ]


def _masks_by_label(entries: Sequence[Entry]) -> dict[str, int]:
    labels = (next(filter(None, map(region_label, one)), UNLABELLED) for one in entries_by_region(entries))
    return dict(Counter(labels))


def accepted_masks(record: Record, view: View | None = None) -> list[AcceptedMask]:
    """Return the masks of a record, empty ones too. Errors as of `region_mask`.

    Parameters
    ----------
    record : Record.
    view : View of its image; then only what it shows is returned, in its pixels. None for masks of the whole image.
    """
    if view is None:
        return [AcceptedMask(region.mask, region.label, region.is_around) for region in regions_of(record.regions)]
    seen = (
        AcceptedMask(view.seen(region.cropped), region.label, region.is_around) for region in regions_of(record.regions)
    )
    return [accepted for accepted in seen if accepted.mask.any()]


def view_of_masks(record: Record, size: tuple[int, int]) -> View:
    """Return the tile of a large image of `size` (H, W) that shows most masks of a record; the first one of equals."""
    masks = [region.cropped for region in regions_of(record.regions)]
    middles = np.array([np.add(mask.corner, np.array(mask.part.shape) / 2) for mask in masks]).reshape(-1, 2)

    def shown(view: View) -> int:
        left, top, right, bottom = view.window
        return int(((middles >= (top, left)) & (middles < (bottom, right))).all(1).sum())

    return max(tiles(size), key=shown)
