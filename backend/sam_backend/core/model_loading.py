"""Loads the model of a command, here and on workers elsewhere, which use folders and secrets of their own machine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sam_backend.core.task_embeddings import TaskEmbeddings
from sam_backend.errors import WeightsError
from sam_backend.finetune.served_version import load_served
from sam_backend.finetune.versions import VERSIONS, Versions
from sam_backend.segmenters import Segmenter, WeightFolders
from sam_backend.segmenters.model_registry import load_segmenter
from sam_backend.settings import Settings, read_settings

_SHARED = ("focus", "max_image_pixels", "large_image_pixels")
"""Settings that decide results."""

_MEMORY_MB = 64
"""Each image comes once, so a worker keeps few embeddings."""


@dataclass(frozen=True)
class WorkerModel:
    """What another process needs to load a model.

    Attributes
    ----------
    name : str, the name of the model.
    checkpoint : Path of its weights, as given to the command, or None.
    version : str, its version here.
    shared : settings that decide results.
    """

    name: str
    checkpoint: Path | None
    version: str
    shared: dict[str, Any]

    @classmethod
    def of(cls, settings: Settings, name: str, checkpoint: Path | None, segmenter: Segmenter) -> WorkerModel:
        """Return what another process needs to load the model of a segmenter."""
        shared = {name: getattr(settings, name) for name in _SHARED}
        return cls(name, checkpoint and checkpoint.resolve(), segmenter.version, shared)

    def load(self, threads: int) -> tuple[Segmenter, TaskEmbeddings]:
        """Return the model, and embeddings of files by the settings of this process and those that decide results.

        Raises
        ------
        SamInspectError
            If it cannot be loaded.
        WeightsError
            If the weights are others.
        """
        settings = read_settings().model_copy(update=self.shared | {"embedding_memory_mb": _MEMORY_MB})
        segmenter = load_model(settings, self.name, self.checkpoint, threads)
        if segmenter.version != self.version:
            raise WeightsError(
                f"its model is {segmenter.version}, and {self.version} is asked for. Put the same weights there: those "
                f"that were promoted into versions in the home folder {settings.home}, others where --checkpoint or "
                "SAM_INSPECT_WEIGHTS says."
            )
        return segmenter, TaskEmbeddings.in_memory(settings)


def load_model(settings: Settings, model: str, checkpoint: Path | None, threads: int = 0) -> Segmenter:
    """Load a model as the service does, with the given weights or those that were promoted last; 0 threads: all."""
    folders = WeightFolders.of_settings(settings)

    def load(weights: Path | None) -> Segmenter:
        return load_segmenter(model, weights, threads=threads, focus=settings.focus, folders=folders)

    return load(checkpoint) if checkpoint else load_served(Versions(settings.home / VERSIONS), model, load).segmenter
