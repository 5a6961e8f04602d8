"""How work that takes long reports how far it is, whoever shows it."""

from __future__ import annotations

from typing import Protocol


class ProgressCallback(Protocol):
    """Is called with the steps done, the steps in all (0 while that is not known), and what is being done."""

    def __call__(self, done: int, total: int, doing: str = "", /) -> None:
        """Show it."""


def no_progress(done: int, total: int, doing: str = "", /) -> None:
    """Show nothing: the default of every `progress` parameter."""
