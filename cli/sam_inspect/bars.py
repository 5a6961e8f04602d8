"""The one progress bar of all commands, on standard error, so that output can be piped."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sam_backend.progress import ProgressCallback

AddBar = Callable[[str], "ProgressCallback"]
"""Adds a bar with a description, and returns the callback that moves it."""

_SPEED_OVER = 1200.0
"""Seconds over which the speed is averaged for the remaining time: some steps take minutes, most far less."""


@contextmanager
def progress_bars() -> Iterator[AddBar]:
    """Show progress bars until the block ends; log records of warnings stand above them, one line each."""
    import logging

    from rich.console import Console
    from rich.logging import RichHandler
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)
    handler = RichHandler(logging.WARNING, console, show_time=False, show_path=False, show_level=False)
    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    bars = Progress(TextColumn("{task.description}"), *columns, console=console, speed_estimate_period=_SPEED_OVER)

    def add(description: str) -> ProgressCallback:
        task = bars.add_task(description, total=None)

        def show(done: int, total: int, doing: str = "", /) -> None:
            text = f"{description}: {doing}" if doing else description
            bars.update(task, completed=done, total=total or None, description=text)

        return show

    logging.getLogger().addHandler(handler)
    try:
        with bars:
            yield add
    finally:
        logging.getLogger().removeHandler(handler)
