"""A training in progress: it holds the lock of its work folder and writes its status. Needs no PyTorch."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from filelock import FileLock, Timeout

from sam_backend.errors import SamInspectError
from sam_backend.files import make_folder, write_whole
from sam_backend.finetune.os_errors import os_error_sentence
from sam_backend.finetune.training_status import FAILED, LOCK, RUNNING, TrainingStatus, write_status

ERROR = "error.txt"
"""Name of the file in the work folder that says where an unforeseen error happened."""

_LOCK_TIMEOUT = 2.0
"""Seconds to wait for the lock: who reads the status holds it for microseconds."""


class TrainingRun:
    """A training in progress; `open_run` makes it.

    Parameters
    ----------
    work : Path, the folder of its checkpoint and status.
    status : TrainingStatus, the first one.
    report : function, called with each new status.

    Attributes
    ----------
    status : the present one.
    """

    def __init__(self, work: Path, status: TrainingStatus, report: Callable[[TrainingStatus], None]) -> None:
        self.work, self.status, self._report = work, status, report

    def show(self, **changes: object) -> None:
        """Change fields of the status, write it and report it; raise OSError if it cannot be written."""
        self.status = replace(self.status, **changes)  # type: ignore[arg-type]
        write_status(self.work, self.status)
        self._report(self.status)


@contextmanager
def open_run(
    work: Path, data: str, model: str, report: Callable[[TrainingStatus], None] = lambda status: None
) -> Iterator[TrainingRun]:
    """Hold the lock of a work folder inside the block; an error in the block sets the status to failed.

    Parameters
    ----------
    work : Path, the folder; it is made where it is missing.
    data : str, what the training learns from, as users call it.
    model : str, the model that is tuned.
    report : function, called with each new status.

    Raises
    ------
    SamInspectError
        If the training runs already; for any error in the block, with a sentence about it.
    """
    lock = FileLock(work / LOCK)
    try:
        make_folder(work)
        lock.acquire(timeout=_LOCK_TIMEOUT)
    except Timeout:
        raise SamInspectError("This training is running already; sam-inspect serve shows it at /status.") from None
    except OSError as error:
        raise SamInspectError(os_error_sentence(error, work)) from error
    try:
        run = TrainingRun(work, TrainingStatus(RUNNING, "Starting", data, model, os.getpid()), report)
        try:
            run.show()
            yield run
        except Exception as error:
            sentence = _sentence(error, work)
            with suppress(OSError):
                run.show(state=FAILED, seconds_left=None, result=sentence)
            raise error if isinstance(error, SamInspectError) else SamInspectError(sentence) from error
    finally:
        lock.release()


def _sentence(error: Exception, work: Path) -> str:
    if isinstance(error, SamInspectError):
        return str(error)
    if isinstance(error, OSError):
        return f"{os_error_sentence(error, work)} Then start the training again; it continues."
    if isinstance(error, MemoryError):
        return "The memory of this machine is not enough; end other programs, and start the training again."
    log = work / ERROR
    try:
        write_whole(log, "".join(traceback.format_exception(error)).encode())
        where = f"the details are in {log}"
    except OSError as unwritten:
        where = f"the details could not be written: {os_error_sentence(unwritten, log)}"
    return f"The training failed unexpectedly ({type(error).__name__}); {where}. What serves is unchanged."
