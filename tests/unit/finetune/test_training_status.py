"""The status of a training, as other processes read it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock

from sam_backend.finetune.training_status import (
    FINISHED,
    INTERRUPTED,
    LOCK,
    RUNNING,
    TrainingStatus,
    latest_status,
    read_status,
    write_status,
)


def test_a_training_that_lives_is_running(tmp_path: Path) -> None:
    status = TrainingStatus(RUNNING, "Training", process=os.getpid(), step=3, steps=9, box=0.5)
    write_status(tmp_path, status)
    with FileLock(tmp_path / LOCK):
        assert read_status(tmp_path) == status


@pytest.mark.parametrize("has_lock", [True, False])
def test_a_training_whose_lock_is_free_was_interrupted_even_if_its_process_id_lives(
    tmp_path: Path, has_lock: bool
) -> None:
    write_status(tmp_path, TrainingStatus(RUNNING, process=os.getpid(), step=3))
    if has_lock:
        (tmp_path / LOCK).touch()
    found = read_status(tmp_path)
    assert found is not None
    assert (found.state, found.step) == (INTERRUPTED, 3)


def test_a_training_of_another_process_lives_until_that_process_is_killed(tmp_path: Path) -> None:
    code = (
        f"import filelock; a = filelock.FileLock({str(tmp_path / LOCK)!r}); a.acquire(); print(1, flush=True); input()"
    )
    other = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with other:
        assert other.stdout is not None
        other.stdout.readline()
        write_status(tmp_path, TrainingStatus(RUNNING, process=1))
        alive = read_status(tmp_path)
        other.kill()
    ended = read_status(tmp_path)
    assert alive is not None
    assert ended is not None
    assert (alive.state, ended.state) == (RUNNING, INTERRUPTED)


def test_reading_a_status_does_not_keep_a_training_from_starting(tmp_path: Path) -> None:
    (tmp_path / LOCK).touch()
    write_status(tmp_path, TrainingStatus(RUNNING))
    read_status(tmp_path)
    with FileLock(tmp_path / LOCK, timeout=0):
        pass


def test_a_training_that_runs_comes_before_one_that_wrote_later(tmp_path: Path) -> None:
    write_status(tmp_path / "a", TrainingStatus(RUNNING, data="a"))
    write_status(tmp_path / "b", TrainingStatus(FINISHED, data="b"))
    os.utime(tmp_path / "a" / "progress.json", (1, 1))
    with FileLock(tmp_path / "a" / LOCK):
        found = latest_status(tmp_path)
    assert found is not None
    assert found.data == "a"


@pytest.mark.parametrize(
    "content", ["", "{", "null", "[]", '{"step": 1}', '{"state": "running", "steps": "many"}', "[" * 100_000]
)
def test_a_damaged_status_is_none(tmp_path: Path, content: str) -> None:
    (tmp_path / "nano").mkdir()
    (tmp_path / "nano" / "progress.json").write_text(content)
    assert latest_status(tmp_path) is None


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
