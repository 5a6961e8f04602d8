"""Ctrl-C at a place where it is safe: in the middle of gRPC it gets lost, or leaves a lock behind for ever."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def noted_interruption() -> Iterator[threading.Event]:
    """Yield an event that Ctrl-C sets; the block looks at it, and at its end `KeyboardInterrupt` is raised.

    A second Ctrl-C does at once what the first one had done. Outside of the main thread nothing changes.
    """
    came = threading.Event()
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield came
        return

    def note(number: int, frame: Any) -> None:
        if came.is_set():
            before(number, frame)
        came.set()

    signal.signal(signal.SIGINT, note)
    try:
        yield came
    finally:
        signal.signal(signal.SIGINT, before)
        if came.is_set():
            raise KeyboardInterrupt
