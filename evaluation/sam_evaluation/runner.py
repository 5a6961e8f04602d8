"""Runs an evaluation: models on samples by protocols, in parallel, with parts on disk for an interrupted run."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from concurrent.futures import as_completed
from contextlib import closing, suppress
from itertools import chain
from pathlib import Path
from typing import Any

import pandas as pd

from sam_backend.cluster.work import THIS_PROCESS, Workers
from sam_backend.files import make_folder, whole_file
from sam_backend.progress import ProgressCallback, no_progress
from sam_backend.segmenters import ModelInfo, WeightFolders
from sam_backend.segmenters.model_registry import known_models
from sam_evaluation.datasets.registry import DatasetSpec
from sam_evaluation.errors import EvaluationError
from sam_evaluation.job_rows import MeasureJobs, Rows, for_elsewhere, forget_models, rows_of
from sam_evaluation.left_out import reasons, table_of
from sam_evaluation.measured_models import check_model
from sam_evaluation.measurement import RECALLS
from sam_evaluation.prediction_files import Predictions
from sam_evaluation.protocols.concept_protocols import ConceptProtocol
from sam_evaluation.protocols.named_protocols import (
    EVERYTHING,
    UNPROMPTED,
    Corrected,
    OncePrompted,
    Protocol,
    parse_protocols,
)
from sam_evaluation.report.numbers import count
from sam_evaluation.run_files import Run, read_rows, write_run, write_unused
from sam_evaluation.run_plan import DEFAULT_SETTINGS, Job, RunSettings, dataset_label, plan_run
from sam_evaluation.sample_rows import prompts_of
from sam_evaluation.workers import worker_pool

logger = logging.getLogger(__name__)

_COUNTS = (
    *("object", "annotator", "height", "width", "area", "click"),
    *("objects", "proposals", "pixels_both", "pixels_either", "count"),
)


def evaluate(
    models: Sequence[str],
    datasets: Sequence[str],
    *,
    out: Path,
    predictions: Sequence[Predictions] = (),
    settings: RunSettings = DEFAULT_SETTINGS,
    checkpoint: Path | None = None,
    folders: WeightFolders | None = None,
    jobs: int = 1,
    workers: Workers = THIS_PROCESS,
    progress: ProgressCallback = no_progress,
) -> Run:
    """Evaluate models on data sets.

    The folder gets `objects.parquet`, `images.parquet`, `broken.csv`, `left_out.csv` and `run.json`; with boxes also
    `boxes.parquet`.

    A second call with the same arguments goes on where the first was interrupted.

    Parameters
    ----------
    models : sequence of str, names of models or baselines.
    datasets : sequence of str, `format:folder` or `format:folder@split`.
    out : Path, the folder of the run, on a disk or on a store.
    predictions : sequence of Predictions, folders of models that ran elsewhere; they are measured by `everything`. With
        several data sets, each folder has a subfolder for each of them, with its name in the tables.
    settings : RunSettings.
    checkpoint : Path of the model's weights, if there is only one model.
    folders : WeightFolders, where files of weights are; None for those of the settings of this process.
    jobs : int, the number of processes; several processes need an importable `__main__`.
    workers : Workers, who measure instead of these processes; they find models and data sets in the same folders.
    progress : ProgressCallback, called with the samples done, the total, and what is being evaluated.

    Raises
    ------
    SamInspectError
        If a model or a data set cannot be used at all, or a data set has no object. Single samples that cannot be used
        are in `Run.broken`; annotations and files that were not used are counted in `Run.left_out`.
    """
    if checkpoint and len(models) != 1:
        raise EvaluationError(f"A checkpoint belongs to one model; got {len(models)} models. Evaluate them one by one.")
    infos = [check_model(model) for model in models]
    names = [*models, *(folder.name for folder in predictions)]
    repeated = [name for name in names if names.count(name) > 1]
    if repeated:
        raise EvaluationError(
            f"{len(repeated)} models are called {repeated[0]}; name each model once, or rename the folder."
        )
    if not names:
        raise EvaluationError("There is nothing to evaluate; name a model, or a folder of predictions.")
    if predictions and workers.are_elsewhere:
        raise EvaluationError("Predictions are measured without a model, on this machine alone; leave the cluster out.")
    protocols = parse_protocols(settings.protocols)
    if predictions and None not in protocols:
        raise EvaluationError(f"Predictions are measured only by {EVERYTHING}; add it to --protocol.")
    if settings.boxes and all(isinstance(protocol, OncePrompted | Corrected) for protocol in protocols):
        raise EvaluationError(f"Boxes are scored for {', '.join(UNPROMPTED)}; add one of them to --protocol.")
    specs = [DatasetSpec.parse(text) for text in datasets]
    if settings.pipeline:
        if None not in protocols:
            raise EvaluationError(f"A pipeline is measured only by {EVERYTHING}; add it to --protocol.")
        settings.pipeline.require(infos, specs)
    else:
        _require_answers(infos, protocols)
    places = [(spec.format, spec.folder.resolve(), spec.split) for spec in specs]
    if twice := next((text for text, place in zip(datasets, places, strict=True) if places.count(place) > 1), None):
        raise EvaluationError(f"The data set {twice} is named twice; name each once.")
    about, plan, left_out = plan_run(models, predictions, specs, out, settings, checkpoint, folders, jobs)
    make_folder(out, private=False)
    total = sum(len(job.names) for job in plan)
    kept = {part for folder in {job.part.parent for job in plan} for part in folder.glob("*.parquet")}
    done = sum(len(job.names) for job in plan if job.part in kept)
    progress(done, total)
    try:
        for job in _work([job for job in plan if job.part not in kept], jobs, workers, about):
            done += len(job.names)
            progress(done, total, f"{job.model} on {job.dataset.format}")
        run, objects = _gather(plan, about, left_out)
    finally:
        forget_models()
    empty = [name for name, number in objects.items() if not number]
    if empty:
        write_unused(run, out)
        raise EvaluationError(_why_empty(run, empty[0]))
    write_run(run, out)
    return run


def _require_answers(infos: Sequence[ModelInfo], protocols: Sequence[Protocol | ConceptProtocol | None]) -> None:
    """Check that each model takes the prompts of a protocol, and that somebody takes texts and exemplars.

    Raises
    ------
    EvaluationError
        If that is not so.
    """
    names = ", ".join(EVERYTHING if protocol is None else protocol.name for protocol in protocols)
    for info in infos:
        if not any(prompts_of(protocol) <= info.prompts for protocol in protocols):
            raise EvaluationError(
                f"{info.name} takes the prompts of none of the protocols {names}, only "
                f"{', '.join(sorted(info.prompts))}; leave it out, or add a protocol."
            )
    for protocol in protocols:
        if isinstance(protocol, ConceptProtocol) and not any(protocol.needs <= info.prompts for info in infos):
            able = ", ".join(info.name for info in known_models() if protocol.needs <= info.prompts)
            raise EvaluationError(f"No model of this run answers the protocol {protocol.name}; add {able}.")


def _why_empty(run: Run, dataset: str) -> str:
    """Return a sentence that says what was read of a data set, and why none of it is an object."""
    facts = run.about["datasets"][dataset]
    broken = run.broken[run.broken["dataset"] == dataset].drop_duplicates("sample") if len(run.broken) else run.broken
    parts = [f"{dataset} has no object; {count(facts['samples'], 'image')} of it {_were(facts['samples'])} read."]
    if facts["samples"] < facts["of"]:
        parts.append(f"It holds {facts['of']:,}; read more of them.")
    parts += [str(reason) for reason in reasons(run.left_out, with_rule=True) if reason.dataset == dataset]
    if len(broken):
        first = broken.iloc[0]
        parts.append(
            f"{count(len(broken), 'image')} could not be used; the first is {first['sample']}: {first['reason']}"
        )
    if len(parts) == 1:
        parts.append("No image has an annotation with an area; check that the annotations belong to these images.")
    return " ".join(parts)


def _were(number: int) -> str:
    return "was" if number == 1 else "were"


def _work(waiting: Sequence[Job], jobs: int, workers: Workers, about: dict[str, Any]) -> Iterator[Job]:
    """Yield each job after it was done; those with the same samples are done together."""
    together: dict[tuple[DatasetSpec, tuple[str, ...]], list[Job]] = {}
    for job in waiting:
        together.setdefault((job.dataset, job.names), []).append(job)
    groups = list(together.values())
    if workers.are_elsewhere:
        travelling = [[for_elsewhere(job) for job in group] for group in groups]
        versions = {name: facts["version"] for name, facts in about["models"].items()}
        with closing(workers.map(MeasureJobs.of(chain.from_iterable(travelling), versions), travelling)) as measured:
            for group, rows in zip(groups, measured, strict=True):
                yield from _keep(group, rows)
    elif jobs == 1:
        for group in groups:
            yield from _do(group)
    else:
        with worker_pool(jobs) as pool:
            for future in as_completed([pool.submit(_do, group) for group in groups]):
                yield from future.result()


def _do(group: Sequence[Job]) -> Sequence[Job]:
    """Evaluate the samples of some jobs, which have the same ones, and write the part of each job."""
    return _keep(group, rows_of(group))


def _keep(group: Sequence[Job], rows: Rows) -> Sequence[Job]:
    for job, own in zip(group, rows, strict=True):
        with whole_file(job.part, private=False) as file:
            pd.DataFrame(own).to_parquet(file)
    return group


def _part(job: Job) -> pd.DataFrame:
    """Return the rows of a job that was done; one whose part is damaged is done again."""
    with suppress(EvaluationError):
        part = read_rows(job.part)
        if part.empty or "kind" in part:
            return part
    logger.warning("%s is damaged; its samples are evaluated again.", job.part)
    _do([job])
    return read_rows(job.part)


def _gather(
    plan: Sequence[Job], about: dict[str, Any], left_out: Sequence[dict[str, Any]]
) -> tuple[Run, dict[str, int]]:
    """Return the run made of the parts of all jobs, and how many objects were read of each data set."""
    kinds: dict[str, list[pd.DataFrame]] = {
        kind: [] for kind in ("object", "image", "box", "broken", "read", "left_out")
    }
    specs = list(dict.fromkeys(job.dataset for job in plan))
    read: dict[str, int] = {}
    for job in plan:
        label = dataset_label(job.dataset, specs)
        part = _part(job)
        part.insert(0, "dataset", label)
        part.insert(0, "version", about["models"][job.model]["version"])
        part.insert(0, "model", job.model)
        read.setdefault(label, 0)
        for kind, rows in part.groupby("kind") if len(part) else ():
            kinds[str(kind)].append(rows.drop(columns="kind").dropna(axis=1, how="all"))
            if kind in ("read", "object"):
                read[label] += int(rows["count"].sum()) if kind == "read" else len(rows)
    tables = {kind: pd.concat(parts, ignore_index=True) if parts else pd.DataFrame() for kind, parts in kinds.items()}
    # A part holds rows of several kinds, so it has gaps; pandas turned whole numbers beside gaps into floats.
    whole = dict.fromkeys((*_COUNTS, *(f"matched_{threshold:g}" for threshold in RECALLS)), "int64")
    for kind, table in tables.items():
        tables[kind] = table.astype({name: whole[name] for name in whole if name in table})
    unused = table_of((*left_out, *tables["left_out"].to_dict("records")))
    return Run(tables["object"], tables["image"], tables["broken"], about, unused, tables["box"]), read
