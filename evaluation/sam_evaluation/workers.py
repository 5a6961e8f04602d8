"""Worker processes that run in parallel and end with the process that started them."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context, parent_process

from sam_evaluation.errors import EvaluationError


@contextmanager
def worker_pool(jobs: int | None) -> Iterator[ProcessPoolExecutor]:
    """Yield a pool of processes, by default one per core; several processes need an importable `__main__`.

    Where the block fails, it waits only for the work that has begun.

    Raises
    ------
    EvaluationError
        If a process ends in the middle of its work.
    """
    context = get_context("spawn")
    with ProcessPoolExecutor(jobs or os.cpu_count(), mp_context=context, initializer=_end_with_parent) as pool:
        try:
            yield pool
        except BrokenProcessPool as error:
            raise EvaluationError(
                "A process ended in the middle of its work, perhaps because memory did not suffice; give fewer with "
                "--jobs. The same command goes on where this one was."
            ) from error
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _end_with_parent() -> None:
    """End this worker when its parent ends; else it would work on after the parent was killed, and keep its locks."""
    parent = parent_process()
    if parent is None:
        return

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, name="end with parent", daemon=True).start()
