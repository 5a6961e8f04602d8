"""The memory as a proposer."""

from __future__ import annotations

from dataclasses import dataclass

from sam_backend.memory.class_model import ClassModel
from sam_backend.memory.project_memory import ProjectMemory
from sam_backend.memory.proposals import Proposal
from sam_backend.segmenters import Embedding, Segmenter


@dataclass(frozen=True, eq=False)
class MemoryProposer:
    """What a memory proposes with the classes of its examples; see `Proposer`."""

    memory: ProjectMemory
    classes: ClassModel
    name: str = "memory"

    def propose(self, segmenter: Segmenter, embedding: Embedding, *, limit: int | None = None) -> list[Proposal]:
        """Return the proposals for an image, the highest score first; at most `limit`."""
        return self.memory.propose(segmenter, embedding, self.classes, limit=limit)
