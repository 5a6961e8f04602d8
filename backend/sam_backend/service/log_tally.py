"""Log lines about what may happen thousands of times a minute: the first at once, the others as a number."""

from __future__ import annotations

import asyncio
import logging

_INTERVAL = 60.0
"""Seconds between two lines of a kind."""

_MAX_KINDS = 1000
"""Kinds that have lines of their own, for example clients with wrong passwords; all others share one."""


class Tally:
    """Counts events of the event loop's thread, and logs one line a kind and minute.

    Parameters
    ----------
    logger : Logger, receives the lines, as warnings.
    """

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._more: dict[str, int] = {}

    def add(self, sentence: str) -> None:
        """Count an event; the sentence, which names its kind, is logged unless it was within the last minute."""
        kind = sentence if sentence in self._more or len(self._more) < _MAX_KINDS else "The same for other clients."
        if kind in self._more:
            self._more[kind] += 1
            return
        self._more[kind] = 0
        self._logger.warning("%s", kind)
        self._later(kind)

    def _later(self, kind: str) -> None:
        asyncio.get_running_loop().call_later(_INTERVAL, self._flush, kind)

    def _flush(self, kind: str) -> None:
        if more := self._more[kind]:
            self._logger.warning("%s %d times more in the last minute.", kind, more)
            self._more[kind] = 0
            self._later(kind)
        else:
            del self._more[kind]
