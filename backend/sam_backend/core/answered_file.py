"""What was answered moments ago, in a file that servers share: the next click may come to another one."""

from __future__ import annotations

import logging
import sqlite3
import threading
from contextlib import suppress
from pathlib import Path
from typing import Self

from sam_backend.files import make_folder, transaction

logger = logging.getLogger(__name__)

_FILE = "answered.sqlite"
_VERSION = 1
_SCHEMA = f"""
CREATE TABLE answered (number INTEGER PRIMARY KEY AUTOINCREMENT, place TEXT, region TEXT, content BLOB);
CREATE UNIQUE INDEX answered_places ON answered (place, region);
PRAGMA user_version = {_VERSION};
"""
_WAIT_SECONDS = 2.0
"""Seconds that a click waits for another server that writes, which takes it a millisecond."""

_DROPPED = 16
"""Answers that are dropped at once when the file is full."""


class AnsweredFile:
    """Packed answers by image and region; each change gets a higher number. Safe to share between processes.

    Parameters
    ----------
    path : Path of the file.
    limit_bytes : int, the size of the file from which the answers changed longest ago are dropped.

    Raises
    ------
    sqlite3.Error
        If the file is damaged, or stays locked; also raised by every method.
    """

    def __init__(self, path: Path, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self._lock = threading.Lock()
        self._sql = sqlite3.connect(path, timeout=_WAIT_SECONDS, isolation_level=None, check_same_thread=False)
        try:
            # A write-ahead log would need memory that machines do not share; a file that a power failure damages is
            # made again.
            self._sql.execute("PRAGMA journal_mode = TRUNCATE")
            self._sql.execute("PRAGMA synchronous = OFF")
            with transaction(self._sql):
                version = self._sql.execute("PRAGMA user_version").fetchone()[0]
                if version not in (0, _VERSION) or self._sql.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
                    raise sqlite3.DatabaseError("it is damaged, or of another version")
                if version == 0:
                    for statement in _SCHEMA.strip().splitlines():
                        self._sql.execute(statement)
        except sqlite3.Error:
            self._sql.close()
            raise

    def __del__(self) -> None:
        with suppress(sqlite3.Error, AttributeError):
            self._sql.close()

    @classmethod
    def open(cls, folder: Path, limit_bytes: int) -> Self | None:
        """Return the file in a folder, a damaged one made again; None, logged, where it cannot be used."""
        path = folder / _FILE
        try:
            make_folder(folder)
            path.touch(mode=0o600)
            try:
                return cls(path, limit_bytes)
            except sqlite3.OperationalError:
                raise
            except sqlite3.DatabaseError as error:
                logger.warning("%s is made again: %s", path, error)
                path.unlink(missing_ok=True)
                path.touch(mode=0o600)
                return cls(path, limit_bytes)
        except (OSError, sqlite3.Error) as error:
            logger.warning("Recent answers are not shared with other servers in %s: %s", folder, error)
            return None

    def numbers(self, place: str) -> list[int]:
        """Return the numbers of the answers on an image, the oldest change first."""
        rows = self._rows("SELECT number FROM answered WHERE place = ? ORDER BY number", place)
        return [int(row[0]) for row in rows]

    def content(self, number: int) -> bytes | None:
        """Return a packed answer; None if it was replaced or dropped meanwhile."""
        rows = self._rows("SELECT content FROM answered WHERE number = ?", number)
        return bytes(rows[0][0]) if rows else None

    def put(self, place: str, region: str, content: bytes, most: int) -> int:
        """Keep an answer in the place of the region's earlier one; return its number.

        Parameters
        ----------
        place : str, the image.
        region : str, the id of the region.
        content : bytes, the packed answer.
        most : int, the largest number of answers that are kept for an image.
        """
        with self._lock, transaction(self._sql):
            self._sql.execute("DELETE FROM answered WHERE place = ? AND region = ?", (place, region))
            added = self._sql.execute(
                "INSERT INTO answered (place, region, content) VALUES (?, ?, ?)", (place, region, content)
            )
            self._sql.execute(
                "DELETE FROM answered WHERE place = ?1 AND number <= "
                "(SELECT number FROM answered WHERE place = ?1 ORDER BY number DESC LIMIT 1 OFFSET ?2)",
                (place, most),
            )
            oldest = "DELETE FROM answered WHERE number IN (SELECT number FROM answered ORDER BY number LIMIT ?)"
            while self._bytes() > self._limit and self._sql.execute(oldest, (_DROPPED,)).rowcount:
                pass
            return int(added.lastrowid or 0)

    def remove(self, place: str, region: str) -> None:
        """Remove the answer of a region."""
        self._rows("DELETE FROM answered WHERE place = ? AND region = ?", place, region)

    def _bytes(self) -> int:
        """Return the bytes of the file that are in use."""
        pages, free, size = (
            self._sql.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
        )
        return int((pages - free) * size)

    def _rows(self, query: str, *values: str | int) -> list[tuple[int | bytes, ...]]:
        with self._lock:
            return self._sql.execute(query, values).fetchall()
