"""The process of a worker on a Ray cluster.

Ray gets the text of this module from the machine that asks, so that a worker without sam-inspect can say so: at the top
it imports nothing but the standard library.
"""

from __future__ import annotations

import logging
import pickle
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

DISTRIBUTION = "sam-inspect"


class Actor:
    """Loads a model once and does its work on the items that come.

    Parameters
    ----------
    wanted : str, the version of sam-inspect on the machine that asks.
    threads : int, the number of threads to compute with.
    """

    def __init__(self, wanted: str, threads: int) -> None:
        self._wanted = wanted
        self._threads = threads
        self._warnings: list[tuple[str, int, str]] = []

    def start(self, elsewhere: bytes) -> str:
        """Make the work, pickled as `Work.elsewhere` gives it; return "" or a sentence that says why it cannot."""
        try:
            installed = version(DISTRIBUTION)
        except PackageNotFoundError:
            installed = "none"
        if installed != self._wanted:
            return (
                f"The worker {platform.node()} has {installed} of {DISTRIBUTION}, this machine has {self._wanted}; "
                f"install {DISTRIBUTION} {self._wanted} there, in the Python of Ray."
            )
        import cv2

        from sam_backend.errors import SamInspectError

        cv2.setNumThreads(self._threads)
        handler = _Kept(self._warnings)
        logging.getLogger().addHandler(handler)
        try:
            self._work = pickle.loads(elsewhere)(self._threads)  # noqa: S301 - of who started it # nosec B301
        except SamInspectError as error:
            return f"The worker {platform.node()} cannot work: {error}"
        except ImportError as error:
            return f"The worker {platform.node()} cannot work: {error}; install there what is installed here."
        return ""

    def do(self, item: bytes) -> bytes:
        """Return the pickled result of a pickled item, with what was logged: (logger, level, message)."""
        from sam_backend.errors import StoreError

        try:
            result: Any = self._work(pickle.loads(item))  # noqa: S301 # nosec B301
        except StoreError as error:
            # It speaks of the credentials of its machine.
            raise StoreError(f"On the worker {platform.node()}: {error}") from error
        warnings = self._warnings.copy()
        self._warnings.clear()
        return pickle.dumps((result, warnings))


class _Kept(logging.Handler):
    """Keeps warnings, which the machine that asks shows."""

    def __init__(self, kept: list[tuple[str, int, str]]) -> None:
        super().__init__(logging.WARNING)
        self._kept = kept

    def emit(self, record: logging.LogRecord) -> None:
        self._kept.append((record.name, record.levelno, record.getMessage()))
