"""The tracker of a model: its own one with a memory of frames where it has one, else that of examples."""

from __future__ import annotations

from pathlib import Path

from sam_backend.core.model_loading import load_model
from sam_backend.errors import BadRequestError
from sam_backend.extras import require
from sam_backend.segmenters import WeightFolders
from sam_backend.segmenters.hub import obtain_repository
from sam_backend.segmenters.hub_entries import follows_by_itself, load_tracker_from_folder
from sam_backend.segmenters.model_registry import model_info
from sam_backend.segmenters.tracking import Tracker
from sam_backend.settings import Settings
from sam_backend.video.example_tracker import ExampleTracker


def load_tracker(settings: Settings, model: str, checkpoint: Path | None) -> Tracker:
    """Load what follows objects with a model; raises the errors of `load_segmenter`.

    Raises
    ------
    BadRequestError
        If the model has no features by which an object could be known again.
    """
    info = model_info(model)
    if follows_by_itself(info):
        assert info.repository is not None
        require(info.packages, model, info.install)
        folders = WeightFolders.of_settings(settings)
        return load_tracker_from_folder(info, obtain_repository(info.repository, folders, checkpoint), folders)
    if not info.has_features:
        raise BadRequestError(f"{model} cannot follow an object, since it has no features; take nano or sam2.1:tiny.")
    return ExampleTracker(load_model(settings, model, checkpoint))
