"""Runs an evaluation: models on samples by protocols, in parallel, with parts on disk to go on from."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import as_completed
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd

from sam_backend.errors import SamInspectError
from sam_backend.samples import Sample
from sam_backend.second_look import Focus
from sam_backend.segmenters import Segmenter
from sam_evaluation.datasets.dataset import Dataset
from sam_evaluation.datasets.objects import DEFAULT_RULE, ObjectRule
from sam_evaluation.datasets.registry import DatasetSpec, fingerprint
from sam_evaluation.errors import EvaluationError
from sam_evaluation.measurement import (
    RECALLS,
    MeasuredObject,
    Proposed,
    ResultRow,
    everything_rows,
    prompted_rows,
    propose,
)
from sam_evaluation.models import check_model, load_model, threads_of
from sam_evaluation.prediction_files import Predictions
from sam_evaluation.protocols.named_protocols import EVERYTHING, parse_protocols
from sam_evaluation.run_files import FORMAT, Run, write_run
from sam_evaluation.workers import worker_pool

_CHUNK = 4
_COUNTS = (
    *("object", "annotator", "height", "width", "area", "click"),
    *("objects", "proposals", "pixels_both", "pixels_either"),
)
_LIBRARIES = ("sam-inspect", "numpy", "scipy", "scikit-image", "opencv-python-headless", "onnxruntime", "torch")

Progress = Callable[[int, int, str], None]
"""Called with samples done, samples in all, and what is being evaluated."""


@dataclass(frozen=True)
class RunSettings:
    """What decides the numbers, beside models and data.

    Attributes
    ----------
    protocols : as a user lists them.
    seed : of the protocols that draw at random.
    limit : about this many samples of each data set, evenly spread; None for all.
    rule : how masks become objects.
    focus : when models take a second look; baselines never do.
    """

    protocols: str = "box,click,clicks:5,everything"
    seed: int = 0
    limit: int | None = None
    rule: ObjectRule = DEFAULT_RULE
    focus: Focus = Focus.AUTO


@dataclass(frozen=True)
class _Job:
    """Some samples of one data set for one model: one that answers, or one whose predictions lie in a folder."""

    model: str
    checkpoint: Path | None
    predictions: Predictions | None
    dataset: DatasetSpec
    names: tuple[str, ...]
    settings: RunSettings
    threads: int
    part: Path


def evaluate(
    models: Sequence[str],
    datasets: Sequence[str],
    *,
    out: Path,
    predictions: Sequence[Predictions] = (),
    settings: RunSettings = RunSettings(),
    checkpoint: Path | None = None,
    jobs: int = 1,
    progress: Progress = lambda done, total, what: None,
) -> Run:
    """Evaluate models on data sets, and write `objects.parquet`, `images.parquet`, `broken.csv` and `run.json`.

    Called again with the same arguments, it goes on where it was interrupted.

    Parameters
    ----------
    models : names of models or baselines.
    datasets : `format:folder` or `format:folder@split`.
    out : folder of the run.
    predictions : of models that ran elsewhere, for `everything`; with several data sets each folder holds a folder for
        each, called as the data set is in tables.
    settings : what else decides the numbers.
    checkpoint : weights of the model, where there is one model.
    jobs : processes; several take an importable `__main__`.
    progress : told after every few samples.

    Raises
    ------
    SamInspectError
        If a model or a data set cannot be used at all. Single samples that cannot are in `broken`.
    """
    if checkpoint and len(models) != 1:
        raise EvaluationError(f"A checkpoint belongs to one model; got {len(models)} models. Evaluate them one by one.")
    for model in models:
        check_model(model)
    names = [*models, *(each.name for each in predictions)]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise EvaluationError(f"{len(twice)} models are called {twice[0]}; name each once, or rename the folder.")
    if not names:
        raise EvaluationError("Nothing is to be evaluated; name a model, or a folder of predictions.")
    if predictions and None not in parse_protocols(settings.protocols):
        raise EvaluationError(f"Predictions are measured by {EVERYTHING} alone; add it to --protocol.")
    specs = [DatasetSpec.parse(text) for text in datasets]
    about, plan = _plan(models, predictions, specs, out, settings, checkpoint, jobs)
    out.mkdir(parents=True, exist_ok=True)
    total = sum(len(job.names) for job in plan)
    done = sum(len(job.names) for job in plan if job.part.exists())
    waiting = [job for job in plan if not job.part.exists()]
    progress(done, total, "")
    for job in _work(waiting, jobs):
        done += len(job.names)
        progress(done, total, f"{job.model} on {job.dataset.format}")
    run = _gather(plan, about)
    write_run(run, out)
    return run


def _plan(
    models: Sequence[str],
    predictions: Sequence[Predictions],
    specs: Sequence[DatasetSpec],
    out: Path,
    settings: RunSettings,
    checkpoint: Path | None,
    jobs: int,
) -> tuple[dict[str, Any], list[_Job]]:
    plan: list[_Job] = []
    about: dict[str, Any] = {
        "format": FORMAT,
        "settings": {**asdict(settings), "rule": asdict(settings.rule)},
        "models": {},
        "datasets": {},
        "libraries": {name: _version(name) for name in _LIBRARIES},
        "python": platform.python_version(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
    }
    names_of = {}
    stamps = {spec: fingerprint(spec.folder, times=True) for spec in specs}
    for spec in specs:
        dataset = spec.open(settings.rule)
        names = list(dataset.names())
        for each in predictions:
            _within(each, spec, specs).matched(names)
        step = 1 if settings.limit is None else max(1, -(-len(names) // settings.limit))
        names_of[spec] = names[::step]
        label = _label(spec, specs)
        card = dataset.card
        about["datasets"][label] = {
            "format": spec.format,
            "folder": str(spec.folder.resolve()),
            "split": spec.split,
            "title": card.title,
            "licence": card.licence,
            "source": card.source,
            "citation": card.citation,
            "domain": card.domain,
            "samples": len(names_of[spec]),
            "of": len(names),
            "fingerprint": fingerprint(spec.folder),
        }
    for model in models:
        loaded = load_model(model, checkpoint, focus=settings.focus)
        about["models"][model] = {"version": loaded.version, "checkpoint": str(checkpoint) if checkpoint else None}
    theirs = {each.name: each for each in predictions}
    for name, each in theirs.items():
        about["models"][name] = {
            "version": each.version(),
            "checkpoint": None,
            "predictions": str(each.folder.resolve()),
            "threshold": each.threshold,
            "kind": str(each.kind),
        }
    for model, facts in about["models"].items():
        for spec in specs:
            label = _label(spec, specs)
            identity = json.dumps([about["format"], about["settings"], stamps[spec]])
            key = hashlib.sha256(f"{facts['version']}\n{label}\n{spec}\n{identity}".encode()).hexdigest()[:16]
            for start in range(0, len(names_of[spec]), _CHUNK):
                part = out / "parts" / key / f"{start:06d}.parquet"
                some = tuple(names_of[spec][start : start + _CHUNK])
                folder = _within(theirs[model], spec, specs) if model in theirs else None
                plan.append(_Job(model, checkpoint, folder, spec, some, settings, threads_of(model, jobs), part))
    return about, plan


def _label(spec: DatasetSpec, specs: Sequence[DatasetSpec]) -> str:
    """Return what a data set is called in the tables: its format, with its folder where two share one."""
    same = [other for other in specs if other.format == spec.format]
    if len(same) == 1:
        return spec.format
    alone = sum((other.folder.name, other.split) == (spec.folder.name, spec.split) for other in same) == 1
    return f"{spec.format}:{spec.folder.name if alone else spec.folder}" + (f"@{spec.split}" if spec.split else "")


def _within(predictions: Predictions, spec: DatasetSpec, specs: Sequence[DatasetSpec]) -> Predictions:
    """Return the predictions of one of the data sets: images of two may share their names."""
    return predictions if len(specs) == 1 else replace(predictions, folder=predictions.folder / _label(spec, specs))


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _work(waiting: Sequence[_Job], jobs: int) -> Iterator[_Job]:
    if jobs == 1:
        for job in waiting:
            yield _do(job)
        return
    with worker_pool(jobs) as pool:
        try:
            for future in as_completed([pool.submit(_do, job) for job in waiting]):
                yield future.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


@lru_cache(maxsize=1)
def _model(name: str, checkpoint: Path | None, threads: int, focus: Focus) -> Segmenter:
    cv2.setNumThreads(threads)
    return load_model(name, checkpoint, threads=threads, focus=focus)


@lru_cache(maxsize=4)
def _dataset(spec: DatasetSpec, rule: ObjectRule) -> Dataset:
    return spec.open(rule)


@lru_cache(maxsize=4)
def _matched(predictions: Predictions, spec: DatasetSpec, rule: ObjectRule) -> dict[str, list[Path]]:
    return predictions.matched(list(_dataset(spec, rule).names()))


def _do(job: _Job) -> _Job:
    """Evaluate the samples of a job and write its part, whole or not at all."""
    rows = [row for name in job.names for row in _rows(job, name)]
    job.part.parent.mkdir(parents=True, exist_ok=True)
    unfinished = job.part.with_suffix(f".{os.getpid()}")
    pd.DataFrame(rows).to_parquet(unfinished)
    unfinished.replace(job.part)
    return job


def _rows(job: _Job, name: str) -> Iterator[ResultRow]:
    """Yield the rows of one sample: of its objects, of the image, or the reason why there are none."""
    settings, rule, predictions = job.settings, job.settings.rule, job.predictions
    proposed = None
    try:
        sample = _dataset(job.dataset, rule).load(name)
        if predictions:
            files = _matched(predictions, job.dataset, rule)[name]
            height, width, _ = sample.image.shape
            proposed = predictions.propose(files, name, (height, width), rule)
    except SamInspectError as error:
        yield {"kind": "broken", "sample": name, "reason": str(error)}
        return
    targets = [MeasuredObject.of(index, thing) for index, thing in enumerate(sample.objects)]
    if proposed:
        yield from _everything(sample, proposed, targets)
        return
    model = _model(job.model, job.checkpoint, job.threads, settings.focus)
    embedding = model.encode(sample.image)
    for protocol in parse_protocols(settings.protocols):
        needs = EVERYTHING if protocol is None else protocol.needs
        if needs not in model.info.prompts:
            continue
        if protocol is None:
            yield from _everything(sample, propose(model, embedding), targets)
        else:
            # A sample's draws depend on the seed and its name alone: not on the other samples, models or jobs.
            digest = hashlib.sha256(f"{protocol.name}\n{name}".encode()).digest()
            rng = np.random.default_rng([settings.seed, *digest[:8]])
            found = prompted_rows(protocol, model, embedding, targets, rng)
            yield from ({"kind": "object", "sample": name, **row} for row in found)


def _everything(sample: Sample, proposed: Proposed, targets: Sequence[MeasuredObject]) -> Iterator[ResultRow]:
    height, width, _ = sample.image.shape
    of_objects, of_image = everything_rows(proposed, targets, (height, width))
    yield {"kind": "image", "sample": sample.name, **of_image}
    yield from ({"kind": "object", "sample": sample.name, **row} for row in of_objects)


def _gather(plan: Sequence[_Job], about: dict[str, Any]) -> Run:
    kinds: dict[str, list[pd.DataFrame]] = {"object": [], "image": [], "broken": []}
    specs = list(dict.fromkeys(job.dataset for job in plan))
    for job in plan:
        part = pd.read_parquet(job.part)
        part.insert(0, "dataset", _label(job.dataset, specs))
        part.insert(0, "version", about["models"][job.model]["version"])
        part.insert(0, "model", job.model)
        for kind, rows in part.groupby("kind") if len(part) else ():
            kinds[str(kind)].append(rows.drop(columns="kind").dropna(axis=1, how="all"))
    tables = {kind: pd.concat(parts, ignore_index=True) if parts else pd.DataFrame() for kind, parts in kinds.items()}
    # One file of rows of three kinds has gaps, and gaps have made floats of whole numbers.
    whole = dict.fromkeys((*_COUNTS, *(f"matched_{threshold:g}" for threshold in RECALLS)), "int64")
    for kind, table in tables.items():
        tables[kind] = table.astype({name: whole[name] for name in whole if name in table})
    return Run(tables["object"], tables["image"], tables["broken"], about)
