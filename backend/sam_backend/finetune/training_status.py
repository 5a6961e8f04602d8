"""The status of a training, in a file that other processes read. Needs no PyTorch."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from sam_backend.files import write_whole

RUNNING, FINISHED, FAILED, INTERRUPTED = "running", "finished", "failed", "interrupted"

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
    process : int, the id of its process.
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
    """Return the status of the training in a folder, or None where there is none."""
    try:
        status = TrainingStatus(**json.loads((folder / _FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    return replace(status, state=INTERRUPTED) if status.state == RUNNING and not _is_alive(status.process) else status


def latest_status(folder: Path) -> TrainingStatus | None:
    """Return the status that was written last among the trainings below a folder."""
    files = sorted(folder.glob(f"*/{_FILE}"), key=lambda path: path.stat().st_mtime)
    return read_status(files[-1].parent) if files else None


def _is_alive(process: int) -> bool:
    try:
        # A child process that has ended stays in the table, as a zombie, until its parent waits for it.
        with open(f"/proc/{process}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        if Path("/proc/self").exists():
            return False
    except OSError:
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
