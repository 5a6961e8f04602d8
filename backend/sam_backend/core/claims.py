"""Work that one of several servers does for all of them: whoever claims it first."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from sam_backend.files import make_folder

_LOCKS = 256
"""Files that stand for all claims; two pieces of work that share one are not done at once."""


class Claims:
    """Claims of servers that share a folder. A claim ends with its block, or with its process.

    Parameters
    ----------
    folder : Path or None, the folder of the locks; with None everything is this server's.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    @contextmanager
    def claim(self, work: str) -> Iterator[bool]:
        """Yield whether a piece of work is this server's; if not, another one is doing it at this moment."""
        lock = self._lock(work)
        if lock is None:
            yield True
            return
        try:
            lock.acquire()
        except Timeout:
            yield False
            return
        except (OSError, NotImplementedError):
            # The disk is full, or has no locks.
            yield True
            return
        try:
            yield True
        finally:
            lock.release()

    def _lock(self, work: str) -> FileLock | None:
        """Return the lock of a piece of work; None where nothing is shared."""
        if self._folder is None:
            return None
        try:
            make_folder(self._folder)
        except OSError:
            return None
        number = zlib.crc32(work.encode(errors="surrogatepass")) % _LOCKS
        return FileLock(self._folder / f"{number}.lock", timeout=0, mode=0o600)
