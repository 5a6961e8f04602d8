"""All runs of a simulation, one after the other or side by side, and what came of them as tables."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
from filelock import FileLock, Timeout

from sam_backend.errors import SamInspectError
from sam_backend.segmenters.cache import EmbeddingCache
from sam_backend.segmenters.registry import load_segmenter
from sam_evaluation.simulation.data import Data
from sam_evaluation.simulation.images import Embeddings
from sam_evaluation.simulation.journal import images_done
from sam_evaluation.simulation.loop import Conditions, Load, Loop, Task, is_done
from sam_evaluation.simulation.plans import RANDOM, Plan
from sam_evaluation.workers import worker_pool

FORMAT = 2
"""Of the journals; a run of another format is not gone on with."""

_LOOK_EVERY = 1.0

Progress = Callable[[int, int, str], None]
"""Called with images labelled in all runs, images in all, and what is being done."""


@dataclass(frozen=True)
class Storage:
    """Where embeddings of the model that ships are kept, so that all runs share them.

    Attributes
    ----------
    folder : on disk.
    disk_mb, memory_mb : upper limits; the memory is that of each process, once for shared and once for other ones.
    """

    folder: Path
    disk_mb: int
    memory_mb: int


def plan_tasks(
    plans: Sequence[Plan], seeds: int, data: Data, conditions: Conditions, version: str, out: Path
) -> list[Task]:
    """Return a run for each plan and seed; what would give other numbers lies in another folder.

    Parameters
    ----------
    version : of the model that ships.
    out : folder of the simulation.
    """
    facts = json.dumps([FORMAT, version, asdict(conditions), data.stamp, str(data.labelled), data.measured_names])
    key = hashlib.sha256(facts.encode()).hexdigest()[:8]
    folder = out / "runs" / key
    return [
        Task(plan, seed, data, conditions, folder / f"{plan.name}-{seed}") for plan in plans for seed in range(seeds)
    ]


def simulate(
    tasks: Sequence[Task],
    storage: Storage,
    *,
    jobs: int = 1,
    load: Load | None = None,
    progress: Progress = lambda done, total, doing: None,
) -> None:
    """Do all runs; those that were interrupted go on, those that are done are left alone.

    Parameters
    ----------
    tasks : of `plan_tasks`.
    storage : of embeddings.
    jobs : processes; several take an importable `__main__`.
    load : loads the model, where there is one process.
    progress : told after every image.

    Raises
    ------
    SamInspectError
        If the model or the data cannot be used, or a run is under way in another process.
    """
    total = sum(task.conditions.budget for task in tasks)
    if jobs == 1:
        done = sum(images_done(task.journal) for task in tasks)
        for task in tasks:
            before = done - images_done(task.journal)
            _do(task, storage, load, lambda images, doing, before=before: progress(before + images, total, doing))  # type: ignore[misc]
            done = before + task.conditions.budget
        progress(done, total, "done")
        return
    with worker_pool(jobs) as pool:
        try:
            # The longest first, so that no process is left alone with one at the end.
            waiting = {pool.submit(_do, task, storage) for task in sorted(tasks, key=_length, reverse=True)}
            while waiting:
                ended, waiting = wait(waiting, timeout=_LOOK_EVERY, return_when=FIRST_COMPLETED)
                _raise_first(ended)
                progress(sum(images_done(task.journal) for task in tasks), total, f"{len(waiting)} runs to go")
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _do(
    task: Task,
    storage: Storage,
    load: Load | None = None,
    tell: Callable[[int, str], None] = lambda images, doing: None,
) -> None:
    """Do a run, or what is left of it."""
    if is_done(task):
        return
    cv2.setNumThreads(1)
    name, focus = task.conditions.model, task.conditions.focus
    load = load or (lambda checkpoint: load_segmenter(name, checkpoint, threads=1, focus=focus))
    with _alone(task.folder), _embeddings(storage, load(None).version) as embeddings:
        Loop(task, load, embeddings).run(tell)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / ".lock", timeout=0):
            yield
    except Timeout:
        raise SamInspectError(f"The run in {folder} is under way in another process; wait for it.") from None


@contextmanager
def _embeddings(storage: Storage, version: str) -> Iterator[Embeddings]:
    kept = EmbeddingCache.of_megabytes(storage.memory_mb, storage.folder, storage.disk_mb)
    try:
        yield Embeddings(kept, EmbeddingCache.of_megabytes(storage.memory_mb, None, 0), version)
    finally:
        kept.close()


def _length(task: Task) -> tuple[bool, bool, bool]:
    """Order runs by how long they take."""
    return task.plan.finetune, task.plan.strategy != RANDOM, task.plan.memory


def _raise_first(ended: set[Future[None]]) -> None:
    for each in ended:
        each.result()
