"""The progress bar of all commands."""

import logging

import pytest

from sam_inspect.bars import progress_bars


def test_a_bar_shows_what_is_done_on_standard_error_only(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bars() as add_bar:
        progress = add_bar("Reading")
        progress(0, 0)
        progress(3, 4, "tile")
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "Reading: tile" in shown.err
    assert "3/4" in shown.err


def test_a_warning_stands_beside_the_bars_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bars() as add_bar:
        add_bar("Reading")
        logging.getLogger("sam_backend").warning("Task 3 is left out.")
    assert "Task 3 is left out." in capsys.readouterr().err
