"""Processes that work side by side, and end with the one that began them."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context, parent_process


def worker_pool(jobs: int | None) -> ProcessPoolExecutor:
    """Return a pool of `jobs` processes, by default one a core; several take an importable `__main__`."""
    return ProcessPoolExecutor(jobs or os.cpu_count(), mp_context=get_context("spawn"), initializer=_end_with_parent)


def _end_with_parent() -> None:
    """Nobody tells a worker that its parent was killed: it would work on, and keep what it has locked."""
    parent = parent_process()
    if parent is None:
        return

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, name="end with parent", daemon=True).start()
