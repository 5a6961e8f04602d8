"""All runs of a simulation, one after the other or in parallel processes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, wait
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
from filelock import FileLock, Timeout

from sam_backend.errors import SamInspectError
from sam_backend.progress import ProgressCallback, no_progress
from sam_backend.segmenters import WeightFolders
from sam_backend.segmenters.cache import EmbeddingCache
from sam_backend.segmenters.model_registry import load_segmenter
from sam_evaluation.simulation.image_set import EmbeddingCaches
from sam_evaluation.simulation.journal import images_done
from sam_evaluation.simulation.loop import Conditions, LoadModel, Loop, RunSpec, is_finished
from sam_evaluation.simulation.plans import RANDOM, Plan
from sam_evaluation.simulation.simulation_data import SimulationData
from sam_evaluation.workers import worker_pool

FORMAT = 3
"""Version of the journals; a run with another format starts again."""

_POLL_SECONDS = 1.0


@dataclass(frozen=True)
class Storage:
    """Where the embeddings of the shipped model are kept, shared by all runs, and where files of weights are.

    Attributes
    ----------
    folder : Path of the disk cache.
    disk_mb, memory_mb : upper limits in megabytes; the memory is per process, once each for shipped and tuned models.
    weights : WeightFolders; None for those of the settings of this process.
    """

    folder: Path
    disk_mb: int
    memory_mb: int
    weights: WeightFolders | None = None


def plan_runs(
    plans: Sequence[Plan], seeds: int, data: SimulationData, conditions: Conditions, version: str, out: Path
) -> list[RunSpec]:
    """Return a run for each plan and seed; runs that would give other numbers lie in another folder.

    Parameters
    ----------
    version : version of the shipped model.
    out : Path of the simulation's folder.
    """
    facts = json.dumps([FORMAT, version, asdict(conditions), data.fingerprint, str(data.labelled), data.measured_names])
    key = hashlib.sha256(facts.encode()).hexdigest()[:8]
    folder = out / "runs" / key
    return [
        RunSpec(plan, seed, data, conditions, folder / f"{plan.name}-{seed}") for plan in plans for seed in range(seeds)
    ]


def simulate(
    specs: Sequence[RunSpec],
    storage: Storage,
    *,
    jobs: int = 1,
    load: LoadModel | None = None,
    progress: ProgressCallback = no_progress,
) -> None:
    """Carry out all runs; interrupted ones go on, finished ones are skipped.

    Parameters
    ----------
    specs : the runs, from `plan_runs`.
    storage : Storage of embeddings.
    jobs : number of processes; more than one need an importable `__main__`.
    load : LoadModel, used only with one process.
    progress : ProgressCallback, called with the images labelled in all runs, their total, and the current work.

    Raises
    ------
    SamInspectError
        If the model or the data cannot be used, or if another process carries out one of the runs.
    """
    total = sum(spec.conditions.budget for spec in specs)
    if jobs == 1:
        done = sum(images_done(spec.journal) for spec in specs)
        for spec in specs:
            before = done - images_done(spec.journal)
            _carry_out(spec, storage, load, _add_to(progress, before, total))
            done = before + spec.conditions.budget
        progress(done, total, "done")
        return
    with worker_pool(jobs) as pool:
        # The longest first, so that no process is left alone with one at the end.
        waiting = {pool.submit(_carry_out, spec, storage) for spec in sorted(specs, key=_length, reverse=True)}
        while waiting:
            ended, waiting = wait(waiting, timeout=_POLL_SECONDS, return_when=FIRST_COMPLETED)
            for future in ended:
                future.result()
            progress(sum(images_done(spec.journal) for spec in specs), total, f"{len(waiting)} runs to go")


def _add_to(progress: ProgressCallback, before: int, total: int) -> ProgressCallback:
    """Return a callback for one run that reports the images of all runs."""

    def report(images: int, budget: int, doing: str = "", /) -> None:
        progress(before + images, total, doing)

    return report


def _carry_out(
    spec: RunSpec, storage: Storage, load: LoadModel | None = None, progress: ProgressCallback = no_progress
) -> None:
    """Carry out a run, or what is left of it."""
    if is_finished(spec):
        return
    cv2.setNumThreads(1)
    folders = storage.weights
    name, focus = spec.conditions.model, spec.conditions.focus
    load = load or (lambda checkpoint: load_segmenter(name, checkpoint, threads=1, focus=focus, folders=folders))
    with _locked(spec.folder), _embedding_caches(storage, load(None).version) as embeddings:
        Loop(spec, load, embeddings, folders).run(progress)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / ".lock", timeout=0):
            yield
    except Timeout:
        raise SamInspectError(f"Another process carries out the run in {folder}; wait for it.") from None


@contextmanager
def _embedding_caches(storage: Storage, version: str) -> Iterator[EmbeddingCaches]:
    shipped = EmbeddingCache.of_megabytes(storage.memory_mb, storage.folder, storage.disk_mb)
    try:
        yield EmbeddingCaches(shipped, EmbeddingCache.of_megabytes(storage.memory_mb, None, 0), version)
    finally:
        shipped.close()


def _length(spec: RunSpec) -> tuple[bool, bool, bool, bool]:
    """Return a sort key: runs that take longer have larger ones."""
    return spec.plan.finetune, spec.plan.proposer, spec.plan.strategy != RANDOM, spec.plan.memory
