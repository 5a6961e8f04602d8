"""What proposes masks in the images of each project: its memory, or the proposer that was promoted for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sam_backend.core.project_versions import ProjectVersions
from sam_backend.memory.project_memory import ProjectMemory
from sam_backend.memory.proposals import Proposal, Proposer
from sam_backend.memory.text_proposer import TextProposer
from sam_backend.proposer.manifest import PROPOSER
from sam_backend.segmenters import Embedding, Segmenter

if TYPE_CHECKING:
    from sam_backend.proposer.trained import TrainedProposer


def proposer_of(memory: ProjectMemory) -> str:
    """Return the name, among all versions, of the proposer of the project that a memory belongs to."""
    return f"{PROPOSER}{memory.store.folder.name}"


@dataclass(frozen=True, eq=False)
class _WithOtherLabels:
    """A proposer, and another one for labels that the first does not know; see `Proposer`."""

    first: Proposer
    other: Proposer
    labels: frozenset[str]

    @property
    def name(self) -> str:
        return self.first.name

    def propose(self, segmenter: Segmenter, embedding: Embedding, *, limit: int | None = None) -> list[Proposal]:
        others = [one for one in self.other.propose(segmenter, embedding) if one.label in self.labels]
        both = [*self.first.propose(segmenter, embedding, limit=limit), *others]
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

    def of(
        self, memory: ProjectMemory | None, version: str, is_known: Callable[[str], bool], texts: Mapping[str, str]
    ) -> Proposer | None:
        """Return what proposes for a project; None if nothing can.

        A label is proposed by the promoted proposer if that was trained on it, else by its examples in the memory, and
        without any by its text.

        Parameters
        ----------
        memory : ProjectMemory of the project; None without a project.
        version : str, the version of the model that answers, for example "nano-cca3e915".
        is_known : function that returns whether a label is still in use.
        texts : label -> what it means; empty for a model that takes no texts.
        """
        if memory is None:
            return TextProposer(texts) if texts else None
        trained, classes = self._promoted.promoted(proposer_of(memory)), memory.classes(version, is_known)
        proposer: Proposer | None = None if classes is None else memory.proposer(classes, version)
        known = frozenset(classes.labels if classes else ())
        if trained is not None and any(map(is_known, trained.manifest.labels)):
            proposer = _with(trained, proposer, known - set(trained.manifest.labels))
            known |= set(trained.manifest.labels)
        rest = {label: text for label, text in texts.items() if label not in known}
        return _with(proposer, TextProposer(rest), frozenset(rest))


def _with(first: Proposer | None, other: Proposer | None, labels: frozenset[str]) -> Proposer | None:
    """Return a proposer of which the other one proposes some labels, if any."""
    if first is None or other is None or not labels:
        return first if first or not labels else other
    return _WithOtherLabels(first, other, labels)


def _load(folder: Path) -> TrainedProposer:
    # Imported late, because onnxruntime is slow and a service must listen before it.
    from sam_backend.proposer.trained import TrainedProposer

    return TrainedProposer(folder, threads=1)
