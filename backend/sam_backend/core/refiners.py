"""The refiner of each project: the one that was tuned on its accepted masks, or the one that ships."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sam_backend.core.project_versions import ProjectVersions
from sam_backend.finetune.refiner.names import REFINER
from sam_backend.memory.project_memory import ProjectMemory
from sam_backend.segmenters import Segmenter

if TYPE_CHECKING:
    from sam_backend.segmenters.refiner.refiner import Refiner


def refiner_of(memory: ProjectMemory) -> str:
    """Return the name, among all versions, of the refiner of the project that a memory belongs to."""
    return f"{REFINER}{memory.store.folder.name}"


class Refiners:
    """The refiners of all projects. Safe to share between threads.

    Parameters
    ----------
    home : Path of the home folder, which holds the versions.
    """

    def __init__(self, home: Path) -> None:
        self._promoted: ProjectVersions[Refiner] = ProjectVersions(
            home, _load, "The refiner that ships corrects masks instead of the project's own."
        )

    def segmenter(self, segmenter: Segmenter, memory: ProjectMemory | None) -> Segmenter:
        """Return the segmenter for a project: the same embeddings and version, with the project's own refiner.

        Parameters
        ----------
        segmenter : Segmenter that serves all projects.
        memory : ProjectMemory of the project; None for no project.
        """
        # Imported late, because onnxruntime is slow and a service must listen before it.
        from sam_backend.segmenters.correcting import Correcting

        tuned = self._promoted.promoted(refiner_of(memory)) if memory else None
        return segmenter.with_refiner(tuned) if tuned and isinstance(segmenter, Correcting) else segmenter

    def version(self, memory: ProjectMemory | None) -> str:
        """Return the version of a project's own refiner; "" where the one that ships serves."""
        tuned = self._promoted.promoted(refiner_of(memory)) if memory else None
        return tuned.version if tuned else ""


def _load(folder: Path) -> Refiner:
    from sam_backend.segmenters.correcting import shipped_refiner
    from sam_backend.segmenters.refiner.refiner import Refiner

    return Refiner(folder, beside=shipped_refiner())
