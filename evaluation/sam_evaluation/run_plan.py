"""The plan of a run: which samples each job evaluates with which model, and the facts that `run.json` holds."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from sam_backend.second_look import Focus
from sam_backend.segmenters import WeightFolders
from sam_evaluation.datasets.objects import DEFAULT_RULE, ObjectRule
from sam_evaluation.datasets.registry import DatasetSpec, fingerprint
from sam_evaluation.left_out import rows_of_dataset
from sam_evaluation.measured_models import load_model, threads_of
from sam_evaluation.measured_pipeline import MeasuredPipeline
from sam_evaluation.prediction_files import Predictions
from sam_evaluation.run_files import FORMAT

_CHUNK = 4
"""The number of samples in a job."""

_LIBRARIES = ("sam-inspect", "numpy", "scipy", "scikit-image", "opencv-python-headless", "onnxruntime", "torch")


@dataclass(frozen=True)
class RunSettings:
    """The settings that decide the numbers, in addition to models and data.

    Attributes
    ----------
    protocols : str, the protocols as a user lists them.
    seed : int, the seed of the protocols that draw at random.
    limit : int, about how many samples of each data set are taken, evenly spread; None for all.
    rule : ObjectRule, how masks become objects.
    focus : Focus, when models take a second look; baselines never do.
    pipeline : MeasuredPipeline, whose masks are measured by `everything` instead of the models' own.
    boxes : bool, whether the boxes around what is found without a prompt are scored as well.
    """

    protocols: str = "box,click,clicks:5,everything"
    seed: int = 0
    limit: int | None = None
    rule: ObjectRule = DEFAULT_RULE
    focus: Focus = Focus.AUTO
    pipeline: MeasuredPipeline | None = None
    boxes: bool = False


DEFAULT_SETTINGS = RunSettings()


@dataclass(frozen=True)
class Job:
    """Some samples of a data set, for one model.

    Attributes
    ----------
    model : str, the name of the model.
    checkpoint : Path of the model's weights, or None.
    folders : WeightFolders, where files of weights are; None for those of the settings of this process.
    predictions : Predictions of the model for this data set, if it ran elsewhere; else None.
    dataset : DatasetSpec.
    names : tuple of str, the names of the samples.
    settings : RunSettings.
    threads : int, how many threads the model computes with.
    part : Path of the file for the rows of this job.
    """

    model: str
    checkpoint: Path | None
    folders: WeightFolders | None
    predictions: Predictions | None
    dataset: DatasetSpec
    names: tuple[str, ...]
    settings: RunSettings
    threads: int
    part: Path


def plan_run(
    models: Sequence[str],
    predictions: Sequence[Predictions],
    specs: Sequence[DatasetSpec],
    out: Path,
    settings: RunSettings,
    checkpoint: Path | None,
    folders: WeightFolders | None,
    jobs: int,
) -> tuple[dict[str, Any], list[Job], list[dict[str, Any]]]:
    """Return the content of `run.json`, the jobs of a run, and the rows of what belongs to no sample.

    Parameters and errors are those of `evaluate`.
    """
    about: dict[str, Any] = {
        "format": FORMAT,
        "settings": {**asdict(settings), "rule": asdict(settings.rule)},
        "models": {},
        "datasets": {},
        "libraries": {name: _version(name) for name in _LIBRARIES},
        "python": platform.python_version(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
    }
    stamps = {spec: fingerprint(spec.folder, times=True) for spec in specs}
    left_out: list[dict[str, Any]] = []
    names = {spec: _describe_dataset(about, left_out, spec, specs, predictions, settings) for spec in specs}
    for model in models:
        loaded = load_model(model, checkpoint, focus=settings.focus, folders=folders)
        about["models"][model] = {"version": loaded.version, "checkpoint": str(checkpoint) if checkpoint else None}
    for folder in predictions:
        about["models"][folder.name] = {
            "version": folder.version(),
            "checkpoint": None,
            "predictions": str(folder.folder.resolve()),
            "threshold": folder.threshold,
            "kind": str(folder.kind),
        }
    prediction_folders = {folder.name: folder for folder in predictions}
    plan: list[Job] = []
    for model, facts in about["models"].items():
        threads = 1 if model in prediction_folders else threads_of(model, jobs)
        for spec in specs:
            label = dataset_label(spec, specs)
            identity = json.dumps([about["format"], about["settings"], stamps[spec]])
            key = hashlib.sha256(f"{facts['version']}\n{label}\n{spec}\n{identity}".encode()).hexdigest()[:16]
            own = _within(prediction_folders[model], spec, specs) if model in prediction_folders else None
            for start in range(0, len(names[spec]), _CHUNK):
                part = out / "parts" / key / f"{start:06d}.parquet"
                chunk = tuple(names[spec][start : start + _CHUNK])
                plan.append(Job(model, checkpoint, folders, own, spec, chunk, settings, threads, part))
    return about, plan, left_out


def dataset_label(spec: DatasetSpec, specs: Sequence[DatasetSpec]) -> str:
    """Return the name of a data set in the tables: its format, and its folder if several have the same format."""
    same = [other for other in specs if other.format == spec.format]
    if len(same) == 1:
        return spec.format
    is_unique = sum((other.folder.name, other.split) == (spec.folder.name, spec.split) for other in same) == 1
    return f"{spec.format}:{spec.folder.name if is_unique else spec.folder}" + (f"@{spec.split}" if spec.split else "")


def _describe_dataset(
    about: dict[str, Any],
    left_out: list[dict[str, Any]],
    spec: DatasetSpec,
    specs: Sequence[DatasetSpec],
    predictions: Sequence[Predictions],
    settings: RunSettings,
) -> list[str]:
    """Add a data set to `about` and what it left out to `left_out`, and return the names of the samples to evaluate."""
    dataset = spec.open(settings.rule)
    names = list(dataset.names())
    for folder in predictions:
        _within(folder, spec, specs).matched(names)
    step = 1 if settings.limit is None else max(1, -(-len(names) // settings.limit))
    chosen = names[::step]
    left_out += ({"dataset": dataset_label(spec, specs), **row} for row in rows_of_dataset(dataset))
    card = dataset.card
    about["datasets"][dataset_label(spec, specs)] = {
        "format": spec.format,
        "folder": str(spec.folder.resolve()),
        "split": spec.split,
        "title": card.title,
        "licence": card.licence,
        "source": card.source,
        "citation": card.citation,
        "domain": card.domain,
        "samples": len(chosen),
        "of": len(names),
        "fingerprint": fingerprint(spec.folder),
    }
    return chosen


def _within(predictions: Predictions, spec: DatasetSpec, specs: Sequence[DatasetSpec]) -> Predictions:
    """Return the predictions for one of the data sets: images of two data sets may have the same names."""
    if len(specs) == 1:
        return predictions
    return replace(predictions, folder=predictions.folder / dataset_label(spec, specs))


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
