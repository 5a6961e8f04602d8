"""Embeddings on disk: written without copies when nobody waits; the pixels stay there until they are looked at."""

from __future__ import annotations

import logging
import mmap
import shutil
import sqlite3
import struct
import threading
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing, nullcontext
from pathlib import Path

import numpy as np
from diskcache import Cache, Disk, Timeout
from diskcache.core import DBNAME, MODE_BINARY
from numpy.typing import NDArray

from sam_backend.files import make_folder
from sam_backend.segmenters.protocol import Embedding

logger = logging.getLogger(__name__)

DISK_ERRORS = (OSError, sqlite3.Error, Timeout)
BROKEN = (EOFError, ValueError, KeyError, TypeError, struct.error, zipfile.BadZipFile)
"""What a folder of a cache may raise, and what a damaged file of it does."""

_SIZE = "__size__"
_LOCK_TIMEOUT = 0.5
"""Seconds to wait for a file that another process has locked; encoding an image again does not take much longer."""

_START_LOCK_TIMEOUT = 5.0
"""The same at the start, after which a process keeps no embeddings on disk."""

_MOST_UNWRITTEN = 4
"""Embeddings that wait to be written; beyond, whoever encodes one writes it."""

_MAPPED = 2**19
"""Bytes from which pixels are mapped into memory instead of read."""

_ZIP_HEADER = "<26x2H"
"""The end of a local header: the lengths of the name and of what follows it."""


class EmbeddingFolder:
    """Embeddings on disk, of which the least recently used are dropped first. Safe to share between threads.

    Processes may share the folder, also those of several machines. A disk that fails is logged, and makes answers
    slower, nothing else.

    Parameters
    ----------
    folder : Path.
    limit : int, bytes of all files together; 0 keeps none.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        self._disk = open_disk(folder, limit, _EmbeddingDisk) if limit else None
        self._unwritten: dict[str, Embedding] = {}
        self._lock = threading.Lock()
        self._writer = ThreadPoolExecutor(1, "embeddings")
        self.writes_in: Callable[[], AbstractContextManager[object]] = nullcontext
        """Makes the context in which an embedding is written; entering it may wait until no click is under way."""
        self._unkept = 0
        self.refusal = ""
        """Why the last embedding that the disk did not take is not kept; a lock of another process does not count."""

    def get(self, key: str) -> Embedding | None:
        """Return an embedding; None if it is not kept or its file is damaged."""
        with self._lock:
            embedding = self._unwritten.get(key)
        if embedding is not None or self._disk is None:
            return embedding
        try:
            embedding = self._disk.get(key)
        except (*DISK_ERRORS, *BROKEN) as error:
            logger.warning("An embedding on disk cannot be read and is made again: %s", _reason(error))
        return embedding

    def put(self, key: str, embedding: Embedding) -> None:
        """Keep an embedding; it is written later, unless many are still to be written."""
        if self._disk is None:
            return
        with self._lock:
            waits = len(self._unwritten) < _MOST_UNWRITTEN
            if waits:
                self._unwritten[key] = embedding
        if waits:
            self._writer.submit(self._write_later, key, embedding)
        else:
            self._write(key, embedding)

    def __contains__(self, key: str) -> bool:
        with self._lock:
            if key in self._unwritten:
                return True
        try:
            return self._disk is not None and key in self._disk
        except DISK_ERRORS:
            return False

    def fill(self) -> tuple[int, int]:
        """Return the bytes of the files, and their limit; 0 and 0 where no disk is used."""
        try:
            # An empty one is false.
            return (0, 0) if self._disk is None else (self._disk.volume(), self._disk.size_limit)
        except DISK_ERRORS:
            return 0, 0

    def unkept(self, *, wait: bool = False) -> int:
        """Return how many embeddings could not be written; `wait` until those are written that still wait."""
        if wait:
            self._writer.submit(lambda: None).result()
        return self._unkept

    def close(self) -> None:
        """Write what is still to be written, and close the files; nothing is kept afterwards."""
        self.writes_in = nullcontext
        self._writer.shutdown()
        if self._disk is not None:
            self._disk.close()
            self._disk = None

    def _write_later(self, key: str, embedding: Embedding) -> None:
        try:
            with self.writes_in():
                self._write(key, embedding)
        finally:
            with self._lock:
                del self._unwritten[key]

    def _write(self, key: str, embedding: Embedding) -> None:
        assert self._disk is not None
        try:
            self._disk.set(key, embedding)
        except DISK_ERRORS as error:
            problem = f"An embedding cannot be kept on disk in {self._disk.directory}: {_reason(error)}"
            logger.warning("%s", problem)
            self._unkept += 1
            if not isinstance(error, Timeout):
                self.refusal = problem


class _EmbeddingDisk(Disk):  # type: ignore[misc]  # diskcache has no types
    """The files of a cache of embeddings, .npz: a pickle, which could run code, is never read."""

    def store(self, value: Embedding, read: bool, key: object = None) -> tuple[int, int, str, None]:
        name, path = self.filename()
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        try:
            with open(path, "xb") as file:
                arrays = {_SIZE: np.array(value.size), **value.arrays}
                np.savez(file, allow_pickle=False, **arrays)
                return file.tell(), MODE_BINARY, name, None
        except BaseException:
            Path(path).unlink(missing_ok=True)
            raise

    def fetch(self, mode: int, filename: str | None, value: object, read: bool) -> Embedding:
        if mode != MODE_BINARY or filename is None:
            raise ValueError("it is not a file that this program wrote")
        return _read(Path(self._directory) / filename)


def open_disk(folder: Path, limit: int, disk: type[Disk]) -> Cache | None:
    """Return a cache on disk, up to `limit` bytes, read and written by `disk`; None, logged, if it cannot be used."""
    try:
        make_folder(folder)
        if not _is_sound(folder / DBNAME):
            logger.warning("%s is damaged, and what was kept beside it is computed again.", folder / DBNAME)
            shutil.rmtree(folder)
            make_folder(folder)
        # Two dropped for each new one keep to the limit; diskcache's default of ten would empty a small cache.
        return Cache(
            str(folder),
            timeout=_LOCK_TIMEOUT,
            disk=disk,
            size_limit=limit,
            eviction_policy="least-recently-used",
            cull_limit=2,
            # A write-ahead log and mapped pages need memory that two machines do not share.
            sqlite_journal_mode="truncate",
            sqlite_mmap_size=0,
            # Waiting for the disk costs more than to compute again what a power failure damages.
            sqlite_synchronous=0,
        )
    except DISK_ERRORS as error:
        logger.warning("What would be kept in %s is kept in memory only: %s", folder, error)
        return None


def _is_sound(database: Path) -> bool:
    """Return whether a database is undamaged; raise OperationalError, before diskcache waits long, if it is locked."""
    if not database.exists():
        return True
    with closing(sqlite3.connect(database, timeout=_START_LOCK_TIMEOUT, isolation_level=None)) as connection:
        try:
            connection.execute("BEGIN IMMEDIATE")
            (answer,) = connection.execute("PRAGMA quick_check(1)").fetchone()
            connection.execute("ROLLBACK")
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError:
            return False
    return bool(answer == "ok")


def _read(path: Path) -> Embedding:
    arrays: dict[str, NDArray[np.generic]] = {}
    with np.load(path, allow_pickle=False) as read:
        for name in read.files:
            entry = read.zip.getinfo(f"{name}.npy")
            is_large = entry.file_size >= _MAPPED and entry.compress_type == zipfile.ZIP_STORED
            pixels = _mapped(path, entry.header_offset) if is_large else None
            arrays[name] = read[name] if pixels is None else pixels
    height, width = (int(side) for side in arrays.pop(_SIZE))
    return Embedding(arrays, (height, width))


def _mapped(path: Path, header: int) -> NDArray[np.uint8] | None:
    """Return an array of bytes in an archive, mapped into memory; None for numbers, which would not be aligned."""
    with path.open("rb") as file:
        file.seek(header)
        names = struct.unpack(_ZIP_HEADER, file.read(struct.calcsize(_ZIP_HEADER)))
        file.seek(sum(names), 1)
        if np.lib.format.read_magic(file) != (1, 0):  # type: ignore[no-untyped-call]
            return None
        shape, is_fortran, kind = np.lib.format.read_array_header_1_0(file)  # type: ignore[no-untyped-call]
        if kind != np.uint8 or is_fortran:
            return None
        content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        array: NDArray[np.uint8] = np.ndarray(shape, np.uint8, content, file.tell())
        return array


def _reason(error: Exception) -> str:
    # diskcache's own Timeout says nothing.
    if isinstance(error, Timeout):
        return "another process has locked the cache"
    return (isinstance(error, OSError) and error.strerror) or str(error)
