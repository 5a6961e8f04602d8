"""Model names -> segmenters, the baselines that need no model included."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from sam_backend.names import did_you_mean
from sam_backend.second_look import Focus
from sam_backend.segmenters import ModelInfo, Segmenter, WeightFolders
from sam_backend.segmenters.exported import PREFIX
from sam_backend.segmenters.model_registry import known_models, load_segmenter, model_info
from sam_evaluation.baselines import FELZENSZWALB, FILLED_BOX
from sam_evaluation.errors import EvaluationError

_BASELINES = {info.name: info for info in (FILLED_BOX, FELZENSZWALB)}


def load_model(
    name: str,
    checkpoint: Path | None = None,
    *,
    threads: int = 0,
    focus: Focus = Focus.AUTO,
    folders: WeightFolders | None = None,
) -> Segmenter:
    """Return a model or a baseline; see `model_registry.load_segmenter` for parameters and errors."""
    if not is_baseline(name):
        return load_segmenter(name, checkpoint, threads=threads, focus=focus, folders=folders)
    return _BASELINES[name].load(_BASELINES[name], checkpoint, threads, folders or WeightFolders.of_settings(None))


def is_baseline(name: str) -> bool:
    """Return whether a name is that of a baseline that needs no model."""
    return name in _BASELINES


def check_model(name: str) -> ModelInfo:
    """Return the entry of a model or baseline; `onnx:` and a folder is a model as ONNX files.

    Raises
    ------
    EvaluationError
        If there is no such model.
    WeightsError
        If the folder holds no model.
    """
    if name.startswith(PREFIX):
        return model_info(name)
    known = {info.name: info for info in known_models()} | _BASELINES
    if name not in known:
        raise EvaluationError(
            f"There is no model {name!r}; the known ones are {', '.join(known)}{did_you_mean(name, known)}"
        )
    return known[name]


def threads_of(model: str, jobs: int) -> int:
    """Return how many threads a model gets in each of several jobs: heavy models share the cores, others get one.

    What takes a tenth of a second for an image goes faster with one image a core than with all cores on one image.
    """
    return max((os.cpu_count() or 1) // jobs, 1) if check_model(model).is_heavy else 1


def default_jobs(models: Sequence[str]) -> int:
    """Return a job a core; just one where a model is so large that each job would hold gigabytes of it."""
    return 1 if any(check_model(model).is_heavy for model in models) else os.cpu_count() or 1
