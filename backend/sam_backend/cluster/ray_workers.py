"""Workers on a Ray cluster; what a lost one had begun is done by another."""

from __future__ import annotations

import logging
import math
import pickle
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, field
from importlib.metadata import version
from threading import Event
from typing import Any, Generic, TypeVar

import ray
from ray.exceptions import RayActorError, RayError, RayTaskError

from sam_backend.cluster import actor as actor_module
from sam_backend.cluster.interruption import noted_interruption
from sam_backend.cluster.sizes import WorkerSize
from sam_backend.cluster.work import Item, Result, Work
from sam_backend.errors import SamInspectError

logger = logging.getLogger(__name__)

_IN_FLIGHT = 2
"""Items at each worker: the next one is there when the last one is done."""

_AHEAD = 16
"""Items for each worker that may be done before the oldest one is, whose result comes first."""

_LOSSES = 4
"""Workers that may be lost at one item, or one after the other before they have begun while no other works."""

_GLANCE = 0.5
"""Seconds after which it is looked whether Ctrl-C has come."""

_PATIENCE = 30.0
"""Seconds without any worker after which it is said that the cluster has no room."""


@dataclass(frozen=True)
class RayWorkers:
    """The workers of the cluster that this process is connected to; see `Workers`."""

    size: WorkerSize
    are_elsewhere: bool = True

    def map(self, work: Work[Item, Result], items: Iterable[Item]) -> Generator[Result]:
        """Yield the result of each item, in the order of the items; the workers end with the iterator."""
        return _Pool(self.size, pickle.dumps(work.elsewhere()), work.name_of, iter(items)).results()


@dataclass(eq=False)
class _Worker:
    """A worker, and the items that it has; it has none before it has started."""

    actor: Any
    has_started: bool = False
    items: int = 0


@dataclass(eq=False)
class _Task:
    """An item that is not done: its place, its pickled content, and how many workers were lost at it."""

    place: int
    item: bytes
    losses: int = 0

    @property
    def share(self) -> int:
        """How many items it counts for: one at which a worker was lost is alone, so that it alone is to blame."""
        return _IN_FLIGHT if self.losses else 1


_Item = TypeVar("_Item")


@dataclass(eq=False)
class _Pool(Generic[_Item]):
    size: WorkerSize
    work: bytes
    name_of: Callable[[_Item], str]
    items: Iterator[_Item]
    workers: list[_Worker] = field(default_factory=list)
    under_way: dict[Any, tuple[_Worker, _Task | None]] = field(default_factory=dict)
    again: deque[_Task] = field(default_factory=deque)
    done: dict[int, Any] = field(default_factory=dict)
    taken: int = 0
    given: int = 0
    is_exhausted: bool = False
    failed_starts: int = 0
    patience: float = field(default_factory=lambda: _PATIENCE)

    def results(self) -> Generator[Any]:
        """Yield the results in order; end the workers at the end, whatever ends it."""
        with noted_interruption() as interrupted:
            yield from self._results(interrupted)

    def _results(self, interrupted: Event) -> Generator[Any]:
        first = self._next()
        if first is None:
            return
        self.again.append(first)
        try:
            for _ in range(self.size.workers):
                self._start()
            while not interrupted.is_set():
                self._give()
                while self.given in self.done and not interrupted.is_set():
                    yield self.done.pop(self.given)
                    self.given += 1
                    self._give()
                if self.is_exhausted and self.given == self.taken:
                    return
                self._wait()
        except ConnectionError as error:
            raise SamInspectError(
                f"The connection to the cluster is lost ({_line(error)}). Repeat the command; it goes on where it was."
            ) from None
        finally:
            # Without its cluster, Ray would look for another one first.
            for worker in self.workers if ray.is_initialized() else ():
                ray.kill(worker.actor)

    def _start(self) -> None:
        """Ask the cluster for one more worker; it starts when there is room."""
        actor: Any = ray.remote(actor_module.Actor)
        # A worker that Ray restarts would wait for room, and its items with it.
        made = actor.options(num_cpus=self.size.cores, num_gpus=self.size.gpus, max_restarts=0, max_task_retries=0)
        worker = _Worker(made.remote(version(actor_module.DISTRIBUTION), self.size.cores))
        self.workers.append(worker)
        self.under_way[worker.actor.start.remote(self.work)] = worker, None

    def _give(self) -> None:
        """Give items to the workers that have started and have the fewest."""
        free = [worker for worker in self.workers if worker.has_started and worker.items < _IN_FLIGHT]
        while free:
            worker = min(free, key=lambda one: one.items)
            task = None if self.again and worker.items else self._next()
            if task is None:
                return
            worker.items += task.share
            self.under_way[worker.actor.do.remote(task.item)] = worker, task
            free = [one for one in free if one.items < _IN_FLIGHT]

    def _next(self) -> _Task | None:
        if self.again:
            return self.again.popleft()
        if self.is_exhausted or self.taken >= self.given + _AHEAD * self.size.workers:
            return None
        try:
            item = next(self.items)
        except StopIteration:
            self.is_exhausted = True
            return None
        self.taken += 1
        return _Task(self.taken - 1, pickle.dumps(item))

    def _wait(self) -> None:
        """Wait until something has come, and take it."""
        has_any = any(worker.has_started for worker in self.workers)
        ready, _ = ray.wait(list(self.under_way), num_returns=1, timeout=min(_GLANCE, self.patience))
        if not ready and not has_any:
            self.patience -= _GLANCE
            if self.patience <= 0:
                logger.warning("The cluster has no room for a worker yet; this waits for it, until you stop it.")
                self.patience = math.inf
        for answer in ready:
            # Those of a lost worker are gone.
            if answer in self.under_way:
                self._take(answer)

    def _take(self, answer: Any) -> None:
        worker, task = self.under_way.pop(answer)
        try:
            came = ray.get(answer)
        except RayTaskError as error:
            # Its text shows where on the worker.
            raise error.cause from error
        except RayError as error:
            if task is None or isinstance(error, RayActorError):
                self._lose(worker, task, error)
            else:
                # The answer was on a machine that is gone.
                worker.items -= task.share
                self._repeat(task)
            return
        if task is None:
            if came:
                raise SamInspectError(came)
            worker.has_started, self.failed_starts = True, 0
            return
        worker.items -= task.share
        result, warnings = pickle.loads(came)  # noqa: S301 - of a worker of ours # nosec B301
        for name, level, message in warnings:
            logging.getLogger(name).log(level, "%s", message)
        self.done[task.place] = result

    def _lose(self, worker: _Worker, task: _Task | None, error: RayError) -> None:
        """Repeat what a lost worker had, and ask for another worker."""
        lost = [other for one, other in ((worker, task), *self.under_way.values()) if one is worker and other]
        self.under_way = {answer: pair for answer, pair in self.under_way.items() if pair[0] is not worker}
        self.workers.remove(worker)
        ray.kill(worker.actor)
        if not worker.has_started:
            self.failed_starts += 1
            if self.failed_starts >= _LOSSES and not any(other.has_started for other in self.workers):
                raise SamInspectError(f"{_LOSSES} workers ended while they started. Ray says: {_line(error)}")
        for one in lost:
            self._repeat(one)
        if worker.has_started:
            logger.warning("A worker is lost; the others go on with its work.")
        else:
            logger.warning("A worker ended while it started; another one is asked for.")
        self._start()

    def _repeat(self, task: _Task) -> None:
        task.losses += 1
        if task.losses == _LOSSES:
            raise SamInspectError(
                f"{_LOSSES} workers ended one after the other at {self._name(task)}, perhaps because memory did not "
                "suffice: with more cores for each (SAM_INSPECT_WORKER_CORES), fewer run on a machine."
            )
        self.again.append(task)

    def _name(self, task: _Task) -> str:
        item = pickle.loads(task.item)  # noqa: S301 - pickled by this process # nosec B301
        return self.name_of(item) or f"item {task.place + 1}"


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300]
