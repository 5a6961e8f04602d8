"""What the labels mean, asked of a model that takes texts, as a proposer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sam_backend.memory.proposals import MIN_SCORE, Proposal
from sam_backend.segmenters import Embedding, Segmenter
from sam_backend.segmenters.concepts import Concept, find_instances
from sam_backend.segmenters.mask_stack import MaskStack


@dataclass(frozen=True, eq=False)
class TextProposer:
    """Proposes what a model finds of each label by its text, without any example; see `Proposer`.

    Attributes
    ----------
    texts : label -> its text.
    """

    texts: Mapping[str, str]
    name: str = "text"

    def propose(self, segmenter: Segmenter, embedding: Embedding, *, limit: int | None = None) -> list[Proposal]:
        """Return the proposals for an image, the highest score first; at most `limit`."""
        found: list[tuple[float, str, MaskStack, int]] = []
        for label, text in self.texts.items():
            instances = find_instances(segmenter, embedding, Concept(text), least_score=MIN_SCORE)
            stack = MaskStack.of(instances.masks)
            found += [(float(score), label, stack, index) for index, score in enumerate(instances.scores)]
        found.sort(key=lambda one: -one[0])
        return [Proposal(stack[index], label, score) for score, label, stack, index in found[:limit]]
