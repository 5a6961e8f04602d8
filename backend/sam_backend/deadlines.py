"""The deadline of the request that a thread works for: checked wherever the work would wait."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from sam_backend.errors import SamInspectError

POLL = 0.5
"""Seconds after which a wait looks again whether its request was cancelled."""


class AbandonedError(SamInspectError):
    """Nobody waits for the answer any more: the deadline is over, or the client has gone (HTTP 503)."""

    status = 503


class Deadline:
    """The end of one request. Safe to share between threads.

    Parameters
    ----------
    seconds : float, time from now until the request must be answered.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._end = time.monotonic() + seconds
        self._cancelled = threading.Event()

    def cancel(self) -> None:
        """End the request now, because its client has gone."""
        self._cancelled.set()

    @property
    def remaining(self) -> float:
        """Seconds until the end; 0 if it is over."""
        return 0.0 if self._cancelled.is_set() else max(self._end - time.monotonic(), 0.0)

    def check(self) -> None:
        """Raise `AbandonedError` if the request is over."""
        if self._cancelled.is_set():
            raise AbandonedError("The client has gone before its request was answered.")
        if not self.remaining:
            raise AbandonedError(f"The request was not answered within {self._seconds:g} s; try again in a minute.")


_current: ContextVar[Deadline | None] = ContextVar("deadline", default=None)


@contextmanager
def within(deadline: Deadline) -> Iterator[None]:
    """Let the work of the block, in this thread, end at a deadline."""
    token = _current.set(deadline)
    try:
        yield
    finally:
        _current.reset(token)


def remaining(limit: float) -> float:
    """Return the seconds that a wait of this thread may take: `limit`, or less if its request ends before."""
    deadline = _current.get()
    return limit if deadline is None else min(limit, deadline.remaining)


def check() -> None:
    """Raise `AbandonedError` if the request that this thread works for is over; background work never is."""
    deadline = _current.get()
    if deadline is not None:
        deadline.check()
