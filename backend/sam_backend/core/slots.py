"""A limited number of workers at once, first come, first served; a request that is over leaves the queue."""

from __future__ import annotations

import threading
from collections import deque
from contextlib import AbstractContextManager

from sam_backend import deadlines


class Slots(AbstractContextManager[None]):
    """A semaphore whose waiting ends with the deadline of the thread's request.

    Parameters
    ----------
    number : int, workers at once, at least 1.
    """

    def __init__(self, number: int) -> None:
        self._free = number
        self._waiting: deque[threading.Event] = deque()
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        """Wait for a slot. Raises `AbandonedError` if the request is over before there is one."""
        deadlines.check()
        with self._lock:
            if self._free:
                self._free -= 1
                return
            turn = threading.Event()
            self._waiting.append(turn)
        try:
            while not turn.wait(deadlines.POLL):
                deadlines.check()
            deadlines.check()
        except BaseException:
            self._leave(turn)
            raise

    def __exit__(self, *_exception: object) -> None:
        """Give the slot to the next in the queue."""
        with self._lock:
            self._pass_on()

    def _leave(self, turn: threading.Event) -> None:
        with self._lock:
            if turn.is_set():
                self._pass_on()
            else:
                self._waiting.remove(turn)

    def _pass_on(self) -> None:
        if self._waiting:
            self._waiting.popleft().set()
        else:
            self._free += 1
