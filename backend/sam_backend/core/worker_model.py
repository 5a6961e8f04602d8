"""The model that a worker on another machine loads: the same as here, with the folders and secrets of its machine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sam_backend.core.project_work import load_model
from sam_backend.errors import WeightsError
from sam_backend.segmenters import Segmenter
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

    def load(self, threads: int) -> tuple[Segmenter, Settings]:
        """Return the model, and the settings of this process with those that decide results.

        Raises
        ------
        SamInspectError
            If it cannot be loaded.
        WeightsError
            If the weights are others.
        """
        settings = read_settings().model_copy(update=self.shared | {"embedding_memory_mb": _MEMORY_MB})
        segmenter = load_model(settings, self.name, self.checkpoint, threads)
        require_version(self.version, segmenter, settings)
        return segmenter, settings


def require_version(version: str, segmenter: Segmenter, settings: Settings) -> None:
    """Check that a worker has the weights of those who ask; WeightsError if not."""
    if segmenter.version != version:
        raise WeightsError(
            f"its model is {segmenter.version}, and {version} is asked for. Put the same weights there: promoted ones "
            f"lie in versions in the home folder, there {settings.home}, others where --checkpoint or "
            "SAM_INSPECT_WEIGHTS says."
        )
