"""A project's folder with the index of its files: asked by many at once, written by one."""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from filelock import FileLock

from sam_backend.files import make_folder, require_inside
from sam_backend.memory.gaps import Gaps
from sam_backend.memory.index_file import open_index, remove_index
from sam_backend.memory.index_update import folder_times, is_up_to_date, update_index
from sam_backend.memory.record_files import RecordFiles
from sam_backend.memory.record_index import RecordIndex

logger = logging.getLogger(__name__)

LOCK_SECONDS = 30.0
"""Seconds that a writer waits for the other writers of a project."""

_DAMAGED = (sqlite3.DatabaseError, LookupError, TypeError, ValueError)
"""What an index raises whose pages were damaged: SQLite notices it, or the values have no meaning."""

Answer = TypeVar("Answer")


class IndexedFolder:
    """The files of one project and their index. Safe to share between threads and processes.

    Parameters
    ----------
    folder : Path of the project's folder.
    root : Path, a folder above it out of which no link may lead; None for the folder above.
    """

    def __init__(self, folder: Path, root: Path | None = None) -> None:
        self.folder = folder
        self.root = folder.parent if root is None else root
        self.files = RecordFiles(folder)
        self._index: RecordIndex | None = None
        self._lock = threading.Lock()
        self._writer = threading.RLock()
        # One object, so that a method that writes may call another; `_writer` keeps other threads from it.
        self._file_lock = FileLock(folder / "lock", timeout=LOCK_SECONDS, mode=0o600, thread_local=False)

    def times(self, index: RecordIndex, *more: str) -> dict[str, int]:
        """Return the times of change of the folders that the index knows, and of folders of examples `more`."""
        known = [name.partition("/")[2] for name in index.folders() if "/" in name]
        return folder_times(self.files, {*known, *more})

    def ask(self, question: Callable[[RecordIndex], Answer]) -> Answer:
        """Return what an index that is up to date answers; a damaged one is made again."""
        if not self.folder.is_dir():
            return question(RecordIndex(None))
        try:
            return question(self._up_to_date())
        except _DAMAGED as error:
            self._start_index_anew(error)
            return question(self._up_to_date())

    def _up_to_date(self) -> RecordIndex:
        with self._lock:
            self._index = index = open_index(self.folder, self._index)
        if is_up_to_date(index, self.files):
            return index
        try:
            with self.writing() as index:
                return index
        except OSError:
            # The folder cannot be written, so this process has an index of its own.
            with self._lock:
                self._index = index = open_index(self.folder, self._index, in_memory=True)
            update_index(index, self.files)
            return index

    def _start_index_anew(self, error: Exception) -> None:
        logger.warning("The index of %s is damaged (%s) and made again.", self.folder, error)
        with self._lock:
            if self._index is not None and self._index.path is not None:
                remove_index(self.folder)
            self._index = None

    @contextmanager
    def writing(self) -> Iterator[RecordIndex]:
        """Lock the project for all other writers, and yield an index that is up to date."""
        require_inside(self.root, self.folder, self.files.records, self.files.examples, Path(self._file_lock.lock_file))
        make_folder(self.folder)
        if not self._writer.acquire(timeout=LOCK_SECONDS):
            raise TimeoutError(f"{self.folder} is being written by another thread for {LOCK_SECONDS:g} s")
        try:
            with self._file_lock:
                with self._lock:
                    self._index = index = open_index(self.folder, self._index)
                try:
                    is_torn = not is_up_to_date(index, self.files) and update_index(index, self.files)
                except (LookupError, TypeError, ValueError) as error:
                    raise sqlite3.DatabaseError(str(error)) from error
                if is_torn:
                    # A process was killed while it wrote the images of an annotation, perhaps after some of them.
                    Gaps(self.folder).mark_incomplete()
                yield index
        except sqlite3.Error as error:
            if not isinstance(error, sqlite3.OperationalError):
                self._start_index_anew(error)
            raise OSError(f"the index of {self.folder} cannot be used: {error}") from error
        finally:
            self._writer.release()
