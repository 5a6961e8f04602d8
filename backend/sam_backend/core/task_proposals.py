"""The proposals for the images of one task, gathered into one prediction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from sam_backend.labelstudio.config import LabelingConfig, TaskImage
from sam_backend.labelstudio.outlines import TOLERANCE
from sam_backend.labelstudio.region_json import make_regions, note_mapping, prediction
from sam_backend.pipeline.scene import ProposedMask


@dataclass
class TaskProposals:
    """Regions on one or several images of a task.

    Attributes
    ----------
    tolerance : float, of polygons in pixels.
    regions : list of dict, each with the tag and the item index of its image.
    scores : list of float, one for each proposal.
    elsewhere : Counter, label -> proposals that no control of their image takes.
    """

    tolerance: float = TOLERANCE
    regions: list[dict[str, Any]] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    elsewhere: Counter[str] = field(default_factory=Counter)

    def add(self, image: TaskImage, proposed: Iterable[ProposedMask], mapping: str) -> None:
        """Add masks proposed on an image of the task; those whose class its controls lack are not for this image.

        `mapping` says how the values of its file became 8 bits, see `ImageReader`.
        """
        done = len(self.regions)
        has_labels = image.target.outputs[0].labeler is not None
        for one in proposed:
            if one.label is not None and not image.target.knows(one.label):
                self.elsewhere[one.label] += 1
            else:
                self.scores.append(one.score)
                self.regions += make_regions(
                    one.mask,
                    image.target,
                    label=one.label if has_labels else None,
                    score=rounded_score(one.score),
                    item_index=image.item_index,
                    tolerance=self.tolerance,
                )
        note_mapping(self.regions[done:], mapping)

    def unknown(self, config: LabelingConfig) -> Counter[str]:
        """Return the labels of proposals that a labeling config does not have at all, with their number."""
        return Counter({label: number for label, number in self.elsewhere.items() if not config.knows(label)})

    def prediction(self, model_version: str) -> dict[str, Any]:
        """Return the prediction of the task; its score is the mean of the scores."""
        mean = sum(self.scores) / max(len(self.scores), 1)
        return prediction(self.regions, rounded_score(mean), model_version)


def rounded_score(score: float) -> float:
    """Return a score within [0, 1], with four decimals."""
    return round(min(max(float(score), 0.0), 1.0), 4)
