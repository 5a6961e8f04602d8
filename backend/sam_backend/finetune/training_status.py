"""The status of a training, in a file that other processes read. Needs no PyTorch."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path

from filelock import FileLock, Timeout
from pydantic import TypeAdapter, ValidationError

from sam_backend.files import write_whole

try:
    import fcntl
except ModuleNotFoundError:  # Windows has none.
    fcntl = None  # type: ignore[assignment]

RUNNING, FINISHED, FAILED, INTERRUPTED = "running", "finished", "failed", "interrupted"

TRAININGS = "finetune"
"""Name of the folder of all trainings in the home folder."""

LOCK = ".lock"
"""Name of the file in the work folder that a training locks as long as it lives."""

_FILE = "progress.json"


@dataclass(frozen=True)
class TrainingStatus:
    """How far a training has come.

    Attributes
    ----------
    state : str, "running", "finished", "failed" or "interrupted"; an interrupted training continues when started again.
    doing : str, what it does now, for people.
    data : str, what it learns from.
    model : str, the model that is tuned.
    process : int, the id of its process, for people.
    step, steps : int, steps done, and steps at most.
    box, click : float or None, mean IoU on the validation images at the last check; None before it.
    seconds_left : float or None, estimated; None where no estimate is possible.
    result : str, the version it made and the gate's reason, or the error.
    """

    state: str
    doing: str = ""
    data: str = ""
    model: str = ""
    process: int = 0
    step: int = 0
    steps: int = 0
    box: float | None = None
    click: float | None = None
    seconds_left: float | None = None
    result: str = ""


def write_status(folder: Path, status: TrainingStatus) -> None:
    """Replace the file of a training's folder as a whole; raise OSError if it cannot be written."""
    write_whole(folder / _FILE, json.dumps(asdict(status)).encode())


def read_status(folder: Path) -> TrainingStatus | None:
    """Return the status of the training in a folder, or None where there is none.

    The lock of the folder shows whether the training lives: its process id may be that of another program by now.
    """
    try:
        status = _reader().validate_json((folder / _FILE).read_bytes())
    except (OSError, ValidationError):
        return None
    return replace(status, state=INTERRUPTED) if status.state == RUNNING and not _is_held(folder / LOCK) else status


@cache
def _reader() -> TypeAdapter[TrainingStatus]:
    return TypeAdapter(TrainingStatus)


def latest_status(folder: Path) -> TrainingStatus | None:
    """Return the status of the trainings below a folder: of one that runs, else the one that was written last."""
    statuses = [(written, status) for path, written in _files(folder) if (status := read_status(path.parent))]
    running = [pair for pair in statuses if pair[1].state == RUNNING]
    return max(running or statuses, key=lambda pair: pair[0])[1] if statuses else None


def last_written(folder: Path) -> int:
    """Return when a training below a folder last wrote its status, in ns of the file system's clock; 0 for never."""
    return max((written for _, written in _files(folder)), default=0)


def _files(folder: Path) -> list[tuple[Path, int]]:
    files = []
    for path in folder.glob(f"*/{_FILE}"):
        # Another process may delete a folder meanwhile.
        with suppress(OSError):
            files.append((path, path.stat().st_mtime_ns))
    return files


def _is_held(lock: Path) -> bool:
    """Return whether a process holds a lock; so that nothing is written, and other readers are not in the way."""
    if fcntl is None:
        try:
            with FileLock(lock, timeout=0):
                return False
        except Timeout:
            return True
    try:
        with lock.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        # It is held, or it cannot be known.
        return True
    return False
