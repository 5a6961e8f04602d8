"""What proposes masks in the images of each project: its memory, or the proposer that was promoted for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sam_backend.core.project_versions import ProjectVersions
from sam_backend.memory.memory_proposer import MemoryProposer
from sam_backend.memory.project_memory import ProjectMemory
from sam_backend.memory.proposals import Proposal, Proposer
from sam_backend.proposer.manifest import PROPOSER
from sam_backend.segmenters import Embedding, Segmenter

if TYPE_CHECKING:
    from sam_backend.proposer.trained import TrainedProposer


def proposer_of(memory: ProjectMemory) -> str:
    """Return the name, among all versions, of the proposer of the project that a memory belongs to."""
    return f"{PROPOSER}{memory.store.folder.name}"


@dataclass(frozen=True, eq=False)
class _WithNewLabels:
    """A trained proposer, and the memory for the labels that came after its training; see `Proposer`."""

    trained: TrainedProposer
    memory: MemoryProposer
    labels: frozenset[str]

    @property
    def name(self) -> str:
        return self.trained.name

    def propose(self, segmenter: Segmenter, embedding: Embedding, *, limit: int | None = None) -> list[Proposal]:
        of_memory = [one for one in self.memory.propose(segmenter, embedding) if one.label in self.labels]
        both = [*self.trained.propose(segmenter, embedding, limit=limit), *of_memory]
        return sorted(both, key=lambda one: -one.score)[:limit]


class Proposers:
    """The proposers of all projects. Safe to share between threads.

    Parameters
    ----------
    home : Path of the home folder, which holds the versions.
    """

    def __init__(self, home: Path) -> None:
        self._promoted: ProjectVersions[TrainedProposer] = ProjectVersions(
            home, _load, "The memory proposes masks instead of the trained proposer."
        )

    def of(self, memory: ProjectMemory, version: str, is_known: Callable[[str], bool]) -> Proposer | None:
        """Return what proposes for a project; None if it has no examples.

        Parameters
        ----------
        memory : ProjectMemory of the project.
        version : str, the version of the model that answers, for example "nano-cca3e915".
        is_known : function that returns whether a label is still in use.
        """
        trained, classes = self._promoted.promoted(proposer_of(memory)), memory.classes(version, is_known)
        examples = None if classes is None else MemoryProposer(memory, classes)
        if trained is None or not any(map(is_known, trained.manifest.labels)):
            return examples
        new = frozenset(classes.labels if classes else ()) - set(trained.manifest.labels)
        return _WithNewLabels(trained, examples, new) if examples and new else trained


def _load(folder: Path) -> TrainedProposer:
    # Imported late, because onnxruntime is slow and a service must listen before it.
    from sam_backend.proposer.trained import TrainedProposer

    return TrainedProposer(folder, threads=1)
