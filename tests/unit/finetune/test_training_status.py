"""The status of a training, as other processes read it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from sam_backend.finetune.training_status import (
    FINISHED,
    INTERRUPTED,
    RUNNING,
    TrainingStatus,
    latest_status,
    read_status,
    write_status,
)


def test_a_training_that_lives_is_running(tmp_path: Path) -> None:
    status = TrainingStatus(RUNNING, "Training", process=os.getpid(), step=3, steps=9, box=0.5)
    write_status(tmp_path, status)
    assert read_status(tmp_path) == status


def test_a_training_whose_process_is_gone_was_interrupted(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    write_status(tmp_path, TrainingStatus(RUNNING, process=ended.pid, step=3))
    found = read_status(tmp_path)
    assert found is not None
    assert (found.state, found.step) == (INTERRUPTED, 3)


def test_the_latest_training_is_the_one_heard_of_last(tmp_path: Path) -> None:
    assert latest_status(tmp_path) is None
    for number, name in enumerate(("a", "c", "b")):
        write_status(tmp_path / name, TrainingStatus("finished", data=name))
        os.utime(tmp_path / name / "progress.json", (number, number))
    found = latest_status(tmp_path)
    assert found is not None
    assert found.data == "b"


def test_a_status_that_an_earlier_version_wrote_is_read(tmp_path: Path) -> None:
    (tmp_path / "progress.json").write_text(
        '{"state": "finished", "doing": "Done", "data": "/home/a.json", "model": "nano", "process": 7, "step": 400, '
        '"steps": 400, "box": 0.8123, "click": 0.7012, "seconds_left": null, "result": "nano-0001 was promoted."}'
    )
    status = read_status(tmp_path)
    assert status is not None
    assert (status.state, status.box, status.result) == (FINISHED, 0.8123, "nano-0001 was promoted.")
