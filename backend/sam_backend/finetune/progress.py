"""How far a training is, in a file that other processes read. Needs no PyTorch."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from sam_backend.files import write_whole

RUNNING, FINISHED, FAILED, INTERRUPTED = "running", "finished", "failed", "interrupted"

_FILE = "progress.json"


@dataclass(frozen=True)
class Progress:
    """How far a training is.

    Attributes
    ----------
    state : `running`, `finished`, `failed`, or `interrupted`: it was killed, and goes on when started again.
    doing : in words.
    data : what it learns from.
    model : that is tuned.
    process : its id.
    step, steps : done, and at most to do.
    box, click : mean IoU of the validation images at the last check; None before.
    seconds_left : estimated; None where nothing can be told.
    result : the version it made, and the gate's words; or the error.
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


def write_progress(folder: Path, progress: Progress) -> None:
    """Replace the file as a whole; OSError where it cannot be written."""
    write_whole(folder / _FILE, json.dumps(asdict(progress)).encode())


def read_progress(folder: Path) -> Progress | None:
    """Return how far the training in a folder is, or None where there was none."""
    try:
        found = Progress(**json.loads((folder / _FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    return replace(found, state=INTERRUPTED) if found.state == RUNNING and not _lives(found.process) else found


def latest_progress(folder: Path) -> Progress | None:
    """Return the progress of the training below a folder that was heard of last."""
    files = sorted(folder.glob(f"*/{_FILE}"), key=lambda path: path.stat().st_mtime)
    return read_progress(files[-1].parent) if files else None


def _lives(process: int) -> bool:
    try:
        # A child of ours that has ended stays known until it is waited for.
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
