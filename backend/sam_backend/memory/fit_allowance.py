"""How often a fit is done anew: what is accepted pays for it, so that learning never slows a service down."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

SECONDS_EACH = 0.8
"""CPU seconds that each change of the examples pays for each kind of fit; there are two kinds."""


class FitAllowance:
    """CPU seconds for a fit that may come late. Safe to share between threads.

    A fit may be done unless the last ones are still to be paid for: while a memory is small, after each change; when a
    fit takes eight seconds, after ten changes.

    Parameters
    ----------
    seconds_each : float, CPU seconds that each change of the examples pays for; infinite where no fit may come late.

    Attributes
    ----------
    cost : float, CPU seconds of the last fit, with what the process did beside it.
    """

    def __init__(self, seconds_each: float = SECONDS_EACH) -> None:
        self._each = seconds_each
        self.cost = 0.0
        self._balance = 0.0
        self._paid: object = None
        self._lock = threading.Lock()

    def pay(self, state: object) -> None:
        """Pay once for each new state of the examples; what is left over is not saved up."""
        with self._lock:
            if state != self._paid:
                self._paid = state
                self._balance = min(self._balance + self._each, self._each)

    @property
    def is_paid(self) -> bool:
        """Whether the next fit may be done."""
        return self._balance >= 0

    @contextmanager
    def spending(self) -> Iterator[None]:
        """Count the CPU of the block."""
        start = time.process_time()
        try:
            yield
        finally:
            with self._lock:
                self.cost = time.process_time() - start
                self._balance -= self.cost
