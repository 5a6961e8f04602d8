"""Jobs with the same samples -> the rows of each, here or by workers elsewhere."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache, partial
from pathlib import Path

import cv2

from sam_backend.errors import SamInspectError
from sam_backend.samples import Sample
from sam_backend.second_look import Focus
from sam_backend.segmenters import Segmenter, WeightFolders
from sam_evaluation.datasets.dataset import Dataset
from sam_evaluation.datasets.objects import ObjectRule
from sam_evaluation.datasets.registry import DatasetSpec, fingerprint
from sam_evaluation.datasets.sample_files import max_pixels
from sam_evaluation.errors import EvaluationError
from sam_evaluation.left_out import rows_of_sample
from sam_evaluation.measured_models import load_model
from sam_evaluation.measurement import MeasuredObject, ResultRow
from sam_evaluation.prediction_files import Predictions
from sam_evaluation.protocols.named_protocols import parse_protocols
from sam_evaluation.run_plan import Job
from sam_evaluation.sample_rows import measured_objects, proposal_rows, sample_rows

Rows = list[list[ResultRow]]
"""The rows of each of some jobs."""


def rows_of(group: Sequence[Job]) -> Rows:
    """Return the rows of each of some jobs, which have the same samples."""
    rows: Rows = [[] for _ in group]
    first = group[0]
    dataset = _dataset(first.dataset, first.settings.rule)
    for name in first.names:
        try:
            sample = dataset.load(name)
        except SamInspectError as error:
            for own in rows:
                own.append(_broken(name, error))
            continue
        targets = measured_objects(sample)
        for job, own in zip(group, rows, strict=True):
            own.extend(_rows(job, sample, targets))
    return rows


def forget_models() -> None:
    """Forget the models that were loaded."""
    _model.cache_clear()


@dataclass(frozen=True)
class MeasureJobs:
    """Measures jobs, see `Work`; elsewhere, models and data sets must be the same ones.

    Attributes
    ----------
    versions : name of a model -> its version here.
    fingerprints : data set -> its `fingerprint` here.
    """

    versions: Mapping[str, str]
    fingerprints: Mapping[DatasetSpec, str]

    @classmethod
    def of(cls, jobs: Iterable[Job], versions: Mapping[str, str]) -> MeasureJobs:
        """Return the work on some jobs."""
        specs = {spec for job in jobs for spec in _read_for(job)}
        return cls(versions, {spec: fingerprint(spec.folder) for spec in specs})

    def __call__(self, group: Sequence[Job], /) -> Rows:
        """Return the rows of each job."""
        return rows_of(group)

    def elsewhere(self) -> Callable[[int], MeasureJobs]:
        """Return what makes the same work in another process."""
        return partial(_measure, self.versions, self.fingerprints, max_pixels())

    def name_of(self, group: Sequence[Job], /) -> str:
        """Return the names of the samples of some jobs, which have the same ones."""
        return ", ".join(group[0].names)


@dataclass(frozen=True)
class _MeasureElsewhere(MeasureJobs):
    threads: int

    def __call__(self, group: Sequence[Job], /) -> Rows:
        own = [replace(job, threads=self.threads) for job in group]
        try:
            self._check(own)
        except SamInspectError as error:
            raise EvaluationError(f"The worker {platform.node()} cannot work: {error}") from error
        return rows_of(own)

    def _check(self, jobs: Sequence[Job]) -> None:
        """Raise a SamInspectError if data sets or models are missing here, or are others."""
        for spec in _read_for(jobs[0]):
            if _stamp(spec) != self.fingerprints[spec]:
                raise EvaluationError(f"it has not the same files in {spec.folder}; let all machines share it.")
        for job in jobs:
            if (version := _load(job).version) != (wanted := self.versions[job.model]):
                raise EvaluationError(f"its model is {version}, and {wanted} is asked for; put the same weights there.")


def _measure(
    versions: Mapping[str, str], fingerprints: Mapping[DatasetSpec, str], most_pixels: int, threads: int
) -> MeasureJobs:
    # The readers of data sets ask the settings of their process for it.
    os.environ["SAM_INSPECT_MAX_IMAGE_PIXELS"] = str(most_pixels)
    return _MeasureElsewhere(versions, fingerprints, threads)


def for_elsewhere(job: Job) -> Job:
    """Return a job with whole paths; where files of weights are, the settings of the other machine say."""
    settings, spec = job.settings, replace(job.dataset, folder=job.dataset.folder.resolve())
    if settings.pipeline and settings.pipeline.examples:
        examples = _examples(settings.pipeline.examples)
        split = f"@{examples.split}" if examples.split else ""
        whole = f"{examples.format}:{examples.folder.resolve()}{split}"
        settings = replace(settings, pipeline=replace(settings.pipeline, examples=whole))
    checkpoint = job.checkpoint and job.checkpoint.resolve()
    return replace(job, dataset=spec, settings=settings, checkpoint=checkpoint, folders=None)


def _read_for(job: Job) -> list[DatasetSpec]:
    """Return the data sets that are read for a job."""
    examples = job.settings.pipeline.examples if job.settings.pipeline else ""
    return [job.dataset, *([_examples(examples)] if examples else [])]


@cache
def _examples(text: str) -> DatasetSpec:
    # It asks whether the folder is there.
    return DatasetSpec.parse(text)


@cache
def _stamp(spec: DatasetSpec) -> str:
    """Return the fingerprint of a data set; "" if it is not there."""
    return fingerprint(spec.folder) if spec.folder.exists() else ""


@cache
def _model(name: str, checkpoint: Path | None, threads: int, focus: Focus, folders: WeightFolders | None) -> Segmenter:
    return load_model(name, checkpoint, threads=threads, focus=focus, folders=folders)


def _load(job: Job) -> Segmenter:
    return _model(job.model, job.checkpoint, job.threads, job.settings.focus, job.folders)


@lru_cache(maxsize=4)
def _dataset(spec: DatasetSpec, rule: ObjectRule) -> Dataset:
    return spec.open(rule)


@lru_cache(maxsize=4)
def _matched(predictions: Predictions, spec: DatasetSpec, rule: ObjectRule) -> dict[str, list[Path]]:
    return predictions.matched(list(_dataset(spec, rule).names()))


def _rows(job: Job, sample: Sample, targets: Sequence[MeasuredObject]) -> Iterator[ResultRow]:
    """Yield the rows of one sample: what was read, its objects, the image; or one row that says why it is unusable."""
    settings, rule, predictions = job.settings, job.settings.rule, job.predictions
    proposed = None
    if predictions:
        try:
            files = _matched(predictions, job.dataset, rule)[sample.name]
            height, width, _ = sample.image.shape
            proposed = predictions.propose(files, sample.name, (height, width), rule)
        except SamInspectError as error:
            yield _broken(sample.name, error)
            return
    yield {"kind": "read", "sample": sample.name, "count": len(sample.objects)}
    yield from ({"kind": "left_out", **row} for row in rows_of_sample(sample))
    if proposed:
        yield from proposal_rows(proposed, sample, targets, boxes=settings.boxes)
        return
    cv2.setNumThreads(job.threads)
    yield from sample_rows(
        _load(job),
        sample,
        targets,
        parse_protocols(settings.protocols),
        settings.seed,
        settings.pipeline,
        settings.boxes,
    )


def _broken(name: str, error: SamInspectError) -> ResultRow:
    return {"kind": "broken", "sample": name, "reason": str(error)}
