"""How far a training is, as other processes see it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from sam_backend.finetune.progress import (
    INTERRUPTED,
    RUNNING,
    Progress,
    latest_progress,
    read_progress,
    write_progress,
)


def test_a_training_that_lives_is_running(tmp_path: Path) -> None:
    told = Progress(RUNNING, "Training", process=os.getpid(), step=3, steps=9, box=0.5)
    write_progress(tmp_path, told)
    assert read_progress(tmp_path) == told


def test_a_training_whose_process_is_gone_was_interrupted(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    write_progress(tmp_path, Progress(RUNNING, process=ended.pid, step=3))
    found = read_progress(tmp_path)
    assert found is not None
    assert (found.state, found.step) == (INTERRUPTED, 3)


def test_the_latest_training_is_the_one_heard_of_last(tmp_path: Path) -> None:
    assert latest_progress(tmp_path) is None
    for number, name in enumerate(("a", "c", "b")):
        write_progress(tmp_path / name, Progress("finished", data=name))
        os.utime(tmp_path / name / "progress.json", (number, number))
    found = latest_progress(tmp_path)
    assert found is not None
    assert found.data == "b"
