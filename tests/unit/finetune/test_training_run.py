"""A training in progress: its lock, its status, and what an error makes of both."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from pathlib import Path

import pytest

from sam_backend.errors import SamInspectError
from sam_backend.finetune.os_errors import os_error_sentence
from sam_backend.finetune.training_run import open_run
from sam_backend.finetune.training_status import FAILED, INTERRUPTED, RUNNING, TrainingStatus, read_status


def status_of(work: Path) -> TrainingStatus:
    status = read_status(work)
    assert status is not None
    return status


def test_a_training_is_running_inside_the_block_and_interrupted_after_a_kill(tmp_path: Path) -> None:
    with suppress(KeyboardInterrupt), open_run(tmp_path, "masks:.", "nano") as run:
        run.show(step=3)
        assert (status_of(tmp_path).state, status_of(tmp_path).step) == (RUNNING, 3)
        raise KeyboardInterrupt
    assert status_of(tmp_path).state == INTERRUPTED


def test_an_unforeseen_error_fails_the_training_in_one_sentence_with_the_place_of_its_details(tmp_path: Path) -> None:
    with (
        pytest.raises(SamInspectError, match=r"failed unexpectedly \(ZeroDivisionError\).*error\.txt") as caught,
        open_run(tmp_path, "masks:.", "nano"),
    ):
        1 / 0  # noqa: B018
    status = status_of(tmp_path)
    assert (status.state, status.result) == (FAILED, str(caught.value))
    assert "1 / 0" in (tmp_path / "error.txt").read_text()
    with open_run(tmp_path, "masks:.", "nano"):
        assert status_of(tmp_path).state == RUNNING


@pytest.mark.parametrize(
    ("number", "cure"),
    [
        (errno.ENOSPC, "make room"),
        (errno.EDQUOT, "make room"),
        (errno.EACCES, "give this user access"),
        (errno.EROFS, "read-only; make it writable"),
        (errno.ENOENT, "it is missing"),
        (errno.ENOTSUP, "a usual file system"),
        (errno.ENAMETOOLONG, "choose a shorter path"),
        (errno.EMFILE, "more open files"),
        (errno.EIO, "the disk fails"),
    ],
)
def test_an_error_of_the_system_says_what_happened_and_its_own_cure(tmp_path: Path, number: int, cure: str) -> None:
    with (
        pytest.raises(SamInspectError) as caught,
        open_run(tmp_path, "masks:.", "nano"),
    ):
        raise OSError(number, os.strerror(number), str(tmp_path / "checkpoint.pt"))
    assert str(caught.value).startswith(f"{tmp_path / 'checkpoint.pt'}: {os.strerror(number)}; ")
    assert cure in str(caught.value)
    assert ("make room" in str(caught.value)) == (number in (errno.ENOSPC, errno.EDQUOT))
    assert status_of(tmp_path).result == str(caught.value)


def test_an_error_of_the_system_without_a_number_keeps_its_text(tmp_path: Path) -> None:
    assert os_error_sentence(OSError("image file is truncated"), tmp_path) == f"{tmp_path}: image file is truncated."


def test_a_copy_to_a_full_disk_names_the_copy() -> None:
    error = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "from.png", None, "to.png")
    assert os_error_sentence(error).startswith("to.png: No space left on device; make room")


@pytest.mark.parametrize("name", ["a file/work", "n" * 300])
def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path, name: str) -> None:
    (tmp_path / "a file").touch()
    with pytest.raises(SamInspectError, match=r"remove or rename it|shorter path"), open_run(tmp_path / name, "", ""):
        pytest.fail("it was opened")
