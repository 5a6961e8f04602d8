"""Work that one of several servers does for all of them: whoever claims it first."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
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
        try:
            claimed = self._acquired(work)
        except Timeout:
            yield False
            return
        with claimed:
            yield True

    def _acquired(self, work: str) -> AbstractContextManager[object]:
        """Return the held lock of a piece of work; no lock where nothing is shared, or none can be made.

        Raises
        ------
        Timeout
            If another server holds it.
        """
        if self._folder is None:
            return nullcontext()
        number = zlib.crc32(work.encode(errors="surrogatepass")) % _LOCKS
        try:
            make_folder(self._folder)
            return FileLock(self._folder / f"{number}.lock", timeout=0, mode=0o600).acquire()
        except Timeout:
            raise
        except (OSError, NotImplementedError):
            # The disk is full, or has no locks.
            return nullcontext()
