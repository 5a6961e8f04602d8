"""How long work reports its progress."""

from __future__ import annotations

from typing import Protocol


class ProgressCallback(Protocol):
    """Is called with the number of steps done, the total (0 while it is unknown), and the current work in words."""

    def __call__(self, done: int, total: int, doing: str = "", /) -> None:
        """Show the progress."""


def no_progress(done: int, total: int, doing: str = "", /) -> None:
    """Show nothing: the default of every `progress` parameter."""
