"""The proposals for the images of one task, gathered into one prediction."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from sam_backend.arrays import BoolArray
from sam_backend.labelstudio.config import TaskImage
from sam_backend.labelstudio.region_json import make_regions, prediction
from sam_backend.memory.proposals import Proposal
from sam_backend.segmenters import Embedding, Segmenter
from sam_backend.segmenters.automatic import propose_masks

MAX_PROPOSALS = 20
"""Most proposals on an image, since an annotator must check every one."""


@dataclass
class TaskProposals:
    """Regions on one or several images of a task.

    Attributes
    ----------
    regions : list of dict, each with the tag and the item index of its image.
    scores : list of float, one for each proposal.
    """

    regions: list[dict[str, Any]] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)

    def add(self, image: TaskImage, mask: BoolArray, label: str | None, score: float) -> None:
        """Add a mask (H, W) on an image of the task."""
        self.scores.append(score)
        self.regions += make_regions(
            mask, image.target, label=label, score=rounded_score(score), item_index=image.item_index
        )

    def add_proposals(self, image: TaskImage, proposals: Iterable[Proposal]) -> None:
        """Add a proposer's proposals for an image; those whose class its controls lack are not for this image."""
        has_labels = image.target.outputs[0].labeler is not None
        for proposal in proposals:
            if image.target.knows(proposal.label):
                self.add(image, proposal.mask, proposal.label if has_labels else None, proposal.score)

    def add_everything(self, image: TaskImage, segmenter: Segmenter, embedding: Embedding) -> None:
        """Add masks of whatever the segmenter sees in an image, without labels."""
        # A mask that is probably right is worth checking; of two masks that overlap much, an annotator wants one.
        masks = propose_masks(
            segmenter,
            embedding,
            points_per_side=12,
            pred_iou_threshold=0.5,
            stability_threshold=0.4,
            nms_iou=0.3,
            limit=MAX_PROPOSALS,
        )
        for proposal in masks:
            self.add(image, proposal.mask, None, proposal.predicted_iou)

    def prediction(self, model_version: str) -> dict[str, Any]:
        """Return the prediction of the task; its score is the mean of the scores."""
        mean = sum(self.scores) / max(len(self.scores), 1)
        return prediction(self.regions, rounded_score(mean), model_version)


def rounded_score(score: float) -> float:
    """Return a score within [0, 1], with four decimals."""
    return round(min(max(float(score), 0.0), 1.0), 4)
