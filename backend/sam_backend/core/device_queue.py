"""The one queue of a model's device: clicks first, then batches; what nobody waits for pauses for both."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from enum import IntEnum

from sam_backend import deadlines

_PATIENCE = 5.0
"""Seconds after which background work goes on although requests are under way, so that it never starves."""


class Rank(IntEnum):
    """Who is served first."""

    CLICK = 0
    BATCH = 1
    BACKGROUND = 2


@dataclass(frozen=True)
class Job:
    """What a thread works for.

    Attributes
    ----------
    rank : Rank.
    doing : str, a few words for the operator, for example "click on task 7".
    """

    rank: Rank
    doing: str


@dataclass(frozen=True)
class QueueState:
    """A queue at one moment.

    Attributes
    ----------
    running : list of (what is done, for how many seconds), the longest first.
    waiting : list of what waits for the device, in the order in which it is served.
    """

    running: list[tuple[str, float]]
    waiting: list[str]


@dataclass(eq=False)
class _Ticket:
    job: Job
    thread: int
    since: float = 0.0
    turn: threading.Event = field(default_factory=threading.Event)


_UNNAMED = Job(Rank.BATCH, "work")
_job: ContextVar[Job] = ContextVar("job", default=_UNNAMED)


def current_job() -> Job:
    """Return what this thread works for."""
    return _job.get()


class DeviceQueue(AbstractContextManager[None]):
    """Slots for work on a device; a thread enters the queue as a context manager for each piece of work.

    Free slots go to clicks before all others, and within a rank to whoever came first. One slot is kept for clicks
    where there are several. Background work begins while no request is under way. Waiting ends with the deadline of the
    thread's request.

    Parameters
    ----------
    slots : int, pieces of work at once, at least 1.
    """

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._running: dict[int, _Ticket] = {}
        """Thread -> its piece of work."""
        self._waiting: list[_Ticket] = []
        self._requests: Counter[Rank] = Counter()
        """Rank -> requests under way, whether they compute, wait for the device or for an image."""
        self._lock = threading.Lock()
        self._quiet = threading.Condition(self._lock)

    @contextmanager
    def job(self, rank: Rank, doing: str) -> Iterator[None]:
        """Give the work of this thread in the block a rank and a name; see `Job`."""
        token = _job.set(Job(rank, doing))
        with self._lock:
            self._requests[rank] += 1
        try:
            yield
        finally:
            _job.reset(token)
            with self._lock:
                self._requests[rank] -= 1
                self._quiet.notify_all()

    @contextmanager
    def begun(self) -> Iterator[None]:
        """Wait with background work for a moment without requests; in the block, others may wait for its result.

        It then no longer pauses, so that no click waits for work that waits for the click. Other work begins at once.
        """
        job = current_job()
        if job.rank is not Rank.BACKGROUND:
            yield
            return
        with self._quiet:
            self._quiet.wait_for(self._is_quiet, _PATIENCE)
        token = _job.set(Job(Rank.BATCH, job.doing))
        try:
            yield
        finally:
            _job.reset(token)

    def __enter__(self) -> None:
        """Wait for a slot. Raises `AbandonedError` if the request is over before there is one."""
        deadlines.check()
        ticket = _Ticket(current_job(), threading.get_ident())
        with self._lock:
            if ticket.job.rank is Rank.BACKGROUND:
                self._quiet.wait_for(self._is_quiet, _PATIENCE)
            self._waiting.append(ticket)
            self._grant()
        try:
            while not ticket.turn.wait(deadlines.POLL):
                deadlines.check()
            deadlines.check()
        except BaseException:
            with self._lock:
                if ticket in self._waiting:
                    self._waiting.remove(ticket)
                self._end()
            raise

    def __exit__(self, *_exception: object) -> None:
        """Give the slot to the next in the queue."""
        with self._lock:
            self._end()

    def state(self) -> QueueState:
        """Return what runs and what waits."""
        with self._lock:
            running, waiting, now = list(self._running.values()), self._in_order(), time.monotonic()
        pairs = [(ticket.job.doing, now - ticket.since) for ticket in running]
        return QueueState(sorted(pairs, key=lambda pair: -pair[1]), [ticket.job.doing for ticket in waiting])

    def _is_quiet(self) -> bool:
        return not (self._requests[Rank.CLICK] or self._requests[Rank.BATCH])

    def _in_order(self) -> list[_Ticket]:
        # Sorting keeps the order of those who are equal.
        return sorted(self._waiting, key=lambda ticket: ticket.job.rank is not Rank.CLICK)

    def _end(self) -> None:
        """Take back the slot of this thread, if it has one; call it with the lock."""
        self._running.pop(threading.get_ident(), None)
        self._grant()

    def _grant(self) -> None:
        """Give the free slots away; call it with the lock."""
        for ticket in self._in_order():
            others = sum(one.job.rank is not Rank.CLICK for one in self._running.values())
            is_free = len(self._running) < self._slots
            if is_free and (ticket.job.rank is Rank.CLICK or others < max(self._slots - 1, 1)):
                self._waiting.remove(ticket)
                self._running[ticket.thread] = ticket
                ticket.since = time.monotonic()
                ticket.turn.set()
