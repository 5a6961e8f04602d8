"""Steps that begin: what the project taught, everything in the image, or what a text names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from sam_backend.memory.proposals import Proposer
from sam_backend.memory.text_proposer import TextProposer
from sam_backend.pipeline.scene import ProposedMask, Scene
from sam_backend.pipeline.step import PROJECT, needs
from sam_backend.samples import Cropped
from sam_backend.segmenters.automatic import AutomaticSettings, propose_masks

Propose = Callable[[Scene], list[ProposedMask]]
"""A function that proposes masks in an image, or in a tile of a large one, the highest score first."""


@needs(PROJECT)
def memory(scene: Scene, *, limit: Annotated[int, Field(ge=1)] | None = None) -> list[ProposedMask]:
    """Propose what looks like the project's accepted masks, with their labels."""
    if scene.project is None:
        return []
    return _proposed_by(scene.project, scene, limit)


@needs("everything")
@dataclass(frozen=True)
class Everything(AutomaticSettings):
    """Propose masks of all that the model sees, as SAM's automatic mode does, without labels.

    Attributes
    ----------
    limit : int or None, the largest number of masks, best first; None for all.
    """

    limit: Annotated[int, Field(ge=1)] | None = None

    def __call__(self, scene: Scene) -> list[ProposedMask]:
        """Return the masks, the highest predicted IoU first."""
        found = propose_masks(scene.segmenter, scene.embedding, self, limit=self.limit)
        return [ProposedMask(one.cropped, None, one.predicted_iou, one.stability) for one in found]


@needs("text")
def text(scene: Scene, *, texts: Annotated[dict[str, str], Field(min_length=1)]) -> list[ProposedMask]:
    """Propose what the model finds of each label by its text: texts = { Scratch = "scratch on steel" }."""
    return _proposed_by(TextProposer(texts), scene)


def _proposed_by(proposer: Proposer, scene: Scene, limit: int | None = None) -> list[ProposedMask]:
    proposals = proposer.propose(scene.segmenter, scene.embedding, limit=limit)
    return [ProposedMask(Cropped.of(one.mask), one.label, one.score) for one in proposals]
