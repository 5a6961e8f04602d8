"""The memory as a proposer: plain data, which any process can use."""

from __future__ import annotations

from dataclasses import dataclass

from sam_backend.memory.class_model import ClassModel
from sam_backend.memory.class_outlines import find_outlines, without_duplicates
from sam_backend.memory.proposals import MIN_SCORE, Proposal
from sam_backend.memory.score_calibration import ScoreCalibration
from sam_backend.segmenters import Embedding, Segmenter


@dataclass(frozen=True, eq=False)
class MemoryProposer:
    """What a memory proposes with the classes of its examples and their calibrated scores; see `Proposer`."""

    classes: ClassModel
    calibration: ScoreCalibration
    name: str = "memory"

    def propose(self, segmenter: Segmenter, embedding: Embedding, *, limit: int | None = None) -> list[Proposal]:
        """Return the outlines that are good enough as proposals, the highest score first; at most `limit`."""
        outlines = find_outlines(segmenter, embedding, self.classes)
        scores = [self.calibration.score(outline) for outline in outlines]
        kept = [index for index in without_duplicates(outlines, scores) if scores[index] >= MIN_SCORE][:limit]
        size = embedding.size
        proposals = [Proposal(outlines[index].image_mask(size), outlines[index].label, scores[index]) for index in kept]
        return [proposal for proposal in proposals if proposal.mask.any()]
