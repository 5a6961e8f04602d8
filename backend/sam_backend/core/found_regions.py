"""All that a segmenter finds of a concept, as one suggestion each."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from sam_backend.core.task_embeddings import TaskEmbedding
from sam_backend.core.task_proposals import rounded_score
from sam_backend.labelstudio.concept_prompts import DrawnConcept
from sam_backend.labelstudio.region_json import make_regions, note_mapping, prediction
from sam_backend.samples import Cropped
from sam_backend.segmenters import Segmenter
from sam_backend.segmenters.concepts import Concept, find_instances
from sam_backend.segmenters.pixels import mapping_of


def found_regions(
    segmenter: Segmenter, fetched: TaskEmbedding, drawn: DrawnConcept, tolerance: float
) -> dict[str, Any]:
    """Return a prediction with a region for each instance; its score is the mean of theirs.

    Parameters
    ----------
    segmenter : Segmenter.
    fetched : TaskEmbedding, of the image; a large one is seen shrunk.
    drawn : DrawnConcept.
    tolerance : float, of polygons in pixels.

    Raises
    ------
    BadRequestError
        If a box lies outside the image, or the model does not take such a concept.
    """
    regions: list[dict[str, Any]] = []
    found = _found(segmenter, fetched, drawn.to_concept(fetched.embedding.size))
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
