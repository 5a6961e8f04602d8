"""The file of an index: it is made again where it is damaged, and held in memory where it cannot be written."""

from __future__ import annotations

import logging
import os
import sqlite3
from contextlib import suppress
from pathlib import Path

from sam_backend.memory.record_index import RecordIndex

logger = logging.getLogger(__name__)

NAME = "index.sqlite"


def open_index(folder: Path, current: RecordIndex | None, *, in_memory: bool = False) -> RecordIndex:
    """Return the index of a project's folder.

    Parameters
    ----------
    folder : Path of the project's folder.
    current : RecordIndex that was opened before; it is returned where it still is the right one.
    in_memory : bool, whether the index is only this process's own, because the file cannot be written.

    Raises
    ------
    OSError
        If the file cannot be opened.
    """
    path = folder / NAME
    if in_memory or not os.access(folder, os.W_OK):
        return current if current is not None and current.path is None else _in_memory(path)
    if current is not None and current.path is not None and current.file == file_number(path):
        return current
    path.touch(mode=0o600)
    try:
        return RecordIndex(path)
    except sqlite3.OperationalError as error:
        raise OSError(f"{path} cannot be opened: {error}") from error
    except sqlite3.DatabaseError as error:
        logger.warning("%s is made again from the files beside it: %s", path, error)
    remove_index(folder)
    path.touch(mode=0o600)
    try:
        return RecordIndex(path)
    except sqlite3.Error as error:
        raise OSError(f"{path} cannot be made: {error}") from error


def remove_index(folder: Path) -> None:
    """Remove the index of a folder, so that it is made again; OSError if it cannot be removed."""
    for name in (NAME, f"{NAME}-journal"):
        (folder / name).unlink(missing_ok=True)


def file_number(path: Path) -> int:
    """Return the number of a file, which another file in its place does not have; 0 if there is none."""
    try:
        return path.stat().st_ino
    except OSError:
        return 0


def _in_memory(path: Path) -> RecordIndex:
    index = RecordIndex(None)
    with suppress(sqlite3.Error):
        kept = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
        try:
            index.read_from(kept)
        finally:
            kept.close()
    return index
