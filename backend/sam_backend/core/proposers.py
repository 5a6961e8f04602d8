"""What proposes masks in the images of each project: its memory, or the proposer that was promoted for it."""

from __future__ import annotations

import logging
import shutil
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cachetools import LRUCache

from sam_backend.errors import SamInspectError
from sam_backend.finetune.training_status import TRAININGS
from sam_backend.finetune.version_record import folder_name
from sam_backend.finetune.versions import SHIPPED, VERSIONS, Versions
from sam_backend.memory.memory_proposer import MemoryProposer
from sam_backend.memory.project_memory import ProjectMemory
from sam_backend.memory.proposals import Proposal, Proposer
from sam_backend.proposer.manifest import PROPOSER
from sam_backend.segmenters import Embedding, Segmenter

if TYPE_CHECKING:
    from sam_backend.proposer.trained import TrainedProposer

logger = logging.getLogger(__name__)

_OPEN = 8
"""Trained proposers that are kept loaded; each takes about 20 MB."""


def proposer_of(memory: ProjectMemory) -> str:
    """Return the name, among all versions, of the proposer of the project that a memory belongs to."""
    return f"{PROPOSER}{memory.store.folder.name}"


def work_folder(home: Path, model: str) -> Path:
    """Return the folder of the trainings of a proposer, given by its name."""
    return home / TRAININGS / folder_name(model)


def forget_proposer(home: Path, memory: ProjectMemory) -> None:
    """Delete the proposer of the project that a memory belongs to, all its versions and what a training kept."""
    model = proposer_of(memory)
    for folder in (home / VERSIONS / folder_name(model), work_folder(home, model)):
        shutil.rmtree(folder, ignore_errors=True)


@dataclass(frozen=True, eq=False)
class _Loaded:
    """A promoted version, and the proposer in it; None if it cannot be used."""

    version: str
    proposer: TrainedProposer | None


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
        self._versions = Versions(home / VERSIONS)
        self._loaded: LRUCache[str, _Loaded] = LRUCache(_OPEN)
        self._lock = threading.Lock()

    def of(self, memory: ProjectMemory, version: str, is_known: Callable[[str], bool]) -> Proposer | None:
        """Return what proposes for a project; None if it has no examples.

        Parameters
        ----------
        memory : ProjectMemory of the project.
        version : str, the version of the model that answers, for example "nano-cca3e915".
        is_known : function that returns whether a label is still in use.
        """
        trained, classes = self._trained(proposer_of(memory)), memory.classes(version, is_known)
        examples = None if classes is None else MemoryProposer(memory, classes)
        if trained is None or not any(map(is_known, trained.manifest.labels)):
            return examples
        new = frozenset(classes.labels if classes else ()) - set(trained.manifest.labels)
        return _WithNewLabels(trained, examples, new) if examples and new else trained

    def _trained(self, model: str) -> TrainedProposer | None:
        """Return the promoted proposer of a name; None where there is none or it is damaged, which is logged once."""
        try:
            current = self._versions.current(model)
        except SamInspectError as error:
            current, problem = "", str(error)
        else:
            problem = ""
        with self._lock:
            loaded = self._loaded.get(model)
            if loaded is None or loaded.version != current:
                loaded = self._loaded[model] = _Loaded(current, self._load(current, problem))
            return loaded.proposer

    def _load(self, version: str, problem: str) -> TrainedProposer | None:
        if version == SHIPPED:
            return None
        # Imported late, because onnxruntime is slow and a service must listen before it.
        from sam_backend.proposer.trained import TrainedProposer

        try:
            if problem:
                raise SamInspectError(problem)
            proposer = TrainedProposer(self._versions.verified(version), threads=1)
        except SamInspectError as error:
            logger.error("The memory proposes masks instead of the trained proposer. %s", error)
            return None
        logger.info("%s proposes masks now: %s", version, proposer.name)
        return proposer
