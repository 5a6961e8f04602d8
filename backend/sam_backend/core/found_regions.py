"""All that a segmenter finds of a concept, as one suggestion each."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np

from sam_backend import deadlines
from sam_backend.core.task_embeddings import TaskEmbedding
from sam_backend.core.task_proposals import rounded_score
from sam_backend.errors import BadRequestError
from sam_backend.labelstudio.concept_prompts import DrawnConcept
from sam_backend.labelstudio.config import LabelingConfig
from sam_backend.labelstudio.mask_runs import MaskRuns
from sam_backend.labelstudio.messages import Task
from sam_backend.labelstudio.page_regions import read_page
from sam_backend.labelstudio.region_json import make_regions, note_mapping, prediction
from sam_backend.labelstudio.region_masks import region_shape
from sam_backend.labelstudio.region_runs import RegionRuns
from sam_backend.samples import Cropped
from sam_backend.segmenters import Segmenter
from sam_backend.segmenters.concepts import Concept, find_instances
from sam_backend.segmenters.pixels import mapping_of

_SAME_IOU = 0.5
"""The least IoU of an instance with a saved mask at which it is the same object."""


def found_regions(
    segmenter: Segmenter, fetched: TaskEmbedding, drawn: DrawnConcept, there: Sequence[MaskRuns], tolerance: float
) -> dict[str, Any]:
    """Return a prediction with a region for each instance that is not there yet; its score is the mean of theirs.

    Parameters
    ----------
    segmenter : Segmenter.
    fetched : TaskEmbedding, of the image; a large one is seen shrunk.
    drawn : DrawnConcept.
    there : sequence of MaskRuns, see `masks_there`.
    tolerance : float, of polygons in pixels.

    Raises
    ------
    BadRequestError
        If a box lies outside the image, or the model does not take such a concept.
    """
    regions: list[dict[str, Any]] = []
    found = [
        (mask, score)
        for mask, score in _found(segmenter, fetched, drawn.to_concept(fetched.embedding.size))
        if not _is_among(mask, there)
    ]
    for mask, score in found:
        regions += make_regions(
            mask,
            drawn.target,
            label=drawn.label,
            score=rounded_score(score),
            item_index=drawn.item_index,
            rotation=drawn.rotation,
            prompted_with=drawn.control,
            tolerance=tolerance,
        )
    note_mapping(regions, mapping_of(fetched.embedding))
    mean = float(np.mean([score for _, score in found])) if found else 0.0
    return prediction(regions, rounded_score(mean), segmenter.version)


def masks_there(
    task: Task, drawn: DrawnConcept, config: LabelingConfig, size: tuple[int, int], runs: RegionRuns
) -> list[MaskRuns]:
    """Return the saved masks of the image that have the label of a concept, or where one of the two has no label.

    Predictions do not count: whether the page shows them is not known.
    """
    page = read_page(task, drawn.target, drawn.item_index)
    found: list[MaskRuns] = []
    for region in page.regions.values() if page.saved else ():
        control = config.control(region.shape.get("from_name"))
        is_example = control is not None and control.exemplars and region_shape(region.shape) == "rectangle"
        if is_example or (drawn.label is not None and region.labels and drawn.label not in region.labels):
            continue
        deadlines.check()
        # A damaged mask cannot be what was found.
        with suppress(BadRequestError):
            mask = runs.of_entry(region.shape, size)
            found += [mask] if mask is not None else []
    return found


def _is_among(mask: Cropped, there: Sequence[MaskRuns]) -> bool:
    own = MaskRuns.of_mask(mask) if there else None
    return own is not None and any(own.is_like(other, _SAME_IOU) for other in there)


def _found(segmenter: Segmenter, fetched: TaskEmbedding, concept: Concept) -> list[tuple[Cropped, float]]:
    """Return masks and scores of all instances; `concept` is in pixels of the image."""
    if fetched.large is None:
        instances = find_instances(segmenter, fetched.embedding, concept)
        return list(zip(instances.crops(), instances.scores.tolist(), strict=True))
    view = fetched.large.whole
    seen = replace(concept, boxes=view.points(concept.boxes.reshape(-1, 2)).reshape(-1, 4))
    instances = find_instances(segmenter, fetched.overview(segmenter), seen)
    placed = [view.placed(crop.mask) for crop in instances.crops()]
    return list(zip(placed, instances.scores.tolist(), strict=True))
