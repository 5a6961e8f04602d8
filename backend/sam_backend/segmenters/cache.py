"""A cache of embeddings: an image is encoded once, whoever asks and however often, also across restarts."""

from __future__ import annotations

import io
import logging
import sqlite3
import threading
import zipfile
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import closing
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np
from cachetools import LRUCache
from diskcache import Cache, Disk, Timeout
from diskcache.core import DBNAME, MODE_BINARY, MODE_RAW

from sam_backend import deadlines
from sam_backend.arrays import ImageArray
from sam_backend.files import make_folder
from sam_backend.segmenters.protocol import Embedding, Segmenter
from sam_backend.settings import Settings

logger = logging.getLogger(__name__)

_SIZE = "__size__"
_DISK_ERRORS = (OSError, sqlite3.Error, Timeout)
_MEBIBYTE = 2**20

_LOCK_TIMEOUT = 0.5
"""Seconds to wait for a file that another process has locked; encoding an image again does not take much longer."""

_START_LOCK_TIMEOUT = 5.0
"""The same at the start, after which a process keeps no embeddings on disk."""


class EmbeddingSource(StrEnum):
    """Where an embedding came from."""

    MEMORY = "memory"
    DISK = "disk"
    ENCODER = "encoder"


@dataclass(frozen=True)
class CacheFill:
    """How full a cache is: bytes used, and their limit, in memory and on disk; 0 and 0 where no disk is used."""

    memory_bytes: int
    memory_limit: int
    disk_bytes: int
    disk_limit: int


class EmbeddingCache:
    """A cache in memory above a cache on disk; both drop the least recently used embeddings first.

    A key is encoded by one thread at a time. Safe to share between threads; processes may share the folder. A disk that
    fails only makes answers slower.

    Parameters
    ----------
    memory_bytes : int, the limit of the arrays in memory; a larger embedding is not kept there.
    folder : Path or None, the folder of the embeddings on disk; None, or `disk_bytes` 0, keeps none there.
    disk_bytes : int, the limit of the files in `folder`.
    """

    def __init__(self, memory_bytes: int, folder: Path | None = None, disk_bytes: int = 0) -> None:
        self._memory: LRUCache[str, Embedding] = LRUCache(memory_bytes, getsizeof=lambda embedding: embedding.nbytes)
        self._disk = _open_disk(folder, disk_bytes) if folder is not None and disk_bytes else None
        self._under_way: dict[str, Future[tuple[Embedding, EmbeddingSource]]] = {}
        self._lock = threading.Lock()

    @classmethod
    def of_megabytes(cls, memory_mb: int, folder: Path | None, disk_mb: int) -> EmbeddingCache:
        """Return a cache with limits in MiB, as the settings give them."""
        return cls(memory_mb * _MEBIBYTE, folder, disk_mb * _MEBIBYTE)

    @classmethod
    def of_settings(cls, settings: Settings) -> EmbeddingCache:
        """Return the cache that the settings ask for."""
        return cls.of_megabytes(settings.embedding_memory_mb, settings.cache / "embeddings", settings.embedding_disk_mb)

    def fetch(
        self, key: str, segmenter: Segmenter, load_image: Callable[[], ImageArray | Embedding]
    ) -> tuple[Embedding, EmbeddingSource]:
        """Return the embedding of `key` and where it came from.

        A caller who asks for a key that is being encoded waits for that encoding and shares its result or its
        exception. An exception is not kept. If the request that encodes is over before it is done, one of those who
        wait encodes.

        Parameters
        ----------
        key : str, unique for an image and a version of the segmenter.
        segmenter : Segmenter, encodes on a miss.
        load_image : function that returns the image, uint8 RGB (H, W, 3), or its embedding where that is kept under
            another key; called on a miss only.
        """
        with self._lock:
            kept = self._memory.get(key)
            if kept is not None:
                return kept, EmbeddingSource.MEMORY
            others = self._under_way.get(key)
            mine: Future[tuple[Embedding, EmbeddingSource]] = Future()
            if others is None:
                self._under_way[key] = mine
        if others is not None:
            outcome = _shared(others)
            return self.fetch(key, segmenter, load_image) if outcome is None else outcome
        try:
            embedding, source = self._from_disk_or_encoder(key, segmenter, load_image)
        except BaseException as error:
            self._finish(key, None)
            mine.set_exception(error)
            raise
        self._finish(key, embedding)
        mine.set_result((embedding, source))
        return embedding, source

    def __contains__(self, key: str) -> bool:
        """Return whether the embedding of `key` is kept, in memory or on disk."""
        with self._lock:
            if key in self._memory:
                return True
        disk = self._disk
        try:
            return disk is not None and key in disk
        except _DISK_ERRORS:
            return False

    def find(self, key: str) -> Embedding | None:
        """Return the embedding of `key` if it is on disk."""
        return self._read(key)

    def fill(self) -> CacheFill:
        """Return how full the cache is."""
        with self._lock:
            used, limit = int(self._memory.currsize), int(self._memory.maxsize)
        disk = self._disk
        try:
            # An empty one is false.
            return CacheFill(used, limit, *((0, 0) if disk is None else (disk.volume(), disk.size_limit)))
        except _DISK_ERRORS:
            return CacheFill(used, limit, 0, 0)

    def close(self) -> None:
        """Close the files; the cache then still works in memory."""
        if self._disk is not None:
            self._disk.close()
            self._disk = None

    def _from_disk_or_encoder(
        self, key: str, segmenter: Segmenter, load_image: Callable[[], ImageArray | Embedding]
    ) -> tuple[Embedding, EmbeddingSource]:
        embedding = self._read(key)
        if embedding is not None:
            return embedding, EmbeddingSource.DISK
        loaded = load_image()
        if isinstance(loaded, Embedding):
            embedding, source = loaded, EmbeddingSource.DISK
        else:
            embedding, source = segmenter.encode(loaded), EmbeddingSource.ENCODER
        self._write(key, embedding)
        return embedding, source

    def _finish(self, key: str, embedding: Embedding | None) -> None:
        with self._lock:
            del self._under_way[key]
            if embedding is not None and embedding.nbytes <= self._memory.maxsize:
                self._memory[key] = embedding

    def _read(self, key: str) -> Embedding | None:
        disk = self._disk
        if disk is None:
            return None
        try:
            packed = disk.get(key)
            return None if packed is None else _unpack(packed)
        except (*_DISK_ERRORS, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
            logger.warning("An embedding on disk cannot be read and is made again: %s", _reason(error))
            return None

    def _write(self, key: str, embedding: Embedding) -> None:
        disk = self._disk
        if disk is None:
            return
        try:
            disk.set(key, _pack(embedding))
        except _DISK_ERRORS as error:
            logger.warning("An embedding cannot be kept on disk in %s: %s", disk.directory, _reason(error))


def _shared(outcome: Future[tuple[Embedding, EmbeddingSource]]) -> tuple[Embedding, EmbeddingSource] | None:
    """Wait for an encoding of another thread; None if the request that it was for is over.

    Raises
    ------
    AbandonedError
        If the request of this thread is over.
    """
    while True:
        try:
            return outcome.result(deadlines.POLL)
        except deadlines.AbandonedError:
            deadlines.check()
            return None
        except TimeoutError:
            # The encoding itself may have raised it.
            if outcome.done():
                raise
            deadlines.check()


class _BytesDisk(Disk):  # type: ignore[misc]  # diskcache has no types
    """The files of a cache of bytes: a pickle, which could run code, is never read."""

    def fetch(self, mode: int, filename: str | None, value: object, read: bool) -> object:
        if mode not in (MODE_RAW, MODE_BINARY):
            raise ValueError("it is not a file that this program wrote")
        return super().fetch(mode, filename, value, read)


def _open_disk(folder: Path, limit: int) -> Cache | None:
    try:
        make_folder(folder)
        _require_unlocked(folder / DBNAME)
        # Two dropped for each new one keep to the limit; diskcache's default of ten would empty a small cache.
        return Cache(
            str(folder),
            timeout=_LOCK_TIMEOUT,
            disk=_BytesDisk,
            size_limit=limit,
            eviction_policy="least-recently-used",
            cull_limit=2,
        )
    except _DISK_ERRORS as error:
        logger.warning("Embeddings are kept in memory only, since %s cannot be used: %s", folder, error)
        return None


def _require_unlocked(database: Path) -> None:
    """Raise OperationalError for a database that stays locked; diskcache would wait a minute for it."""
    if database.exists():
        with closing(sqlite3.connect(database, timeout=_START_LOCK_TIMEOUT, isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("ROLLBACK")


def _reason(error: Exception) -> str:
    # diskcache's own Timeout says nothing.
    return "another process has locked the cache" if isinstance(error, Timeout) else str(error)


def _pack(embedding: Embedding) -> bytes:
    """Write the arrays as .npz: reading it runs no code, unlike a pickle."""
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **{_SIZE: np.array(embedding.size)}, **dict(embedding.arrays))
    return buffer.getvalue()


def _unpack(packed: bytes) -> Embedding:
    with np.load(io.BytesIO(packed), allow_pickle=False) as arrays:
        height, width = (int(side) for side in arrays[_SIZE])
        return Embedding({name: arrays[name] for name in arrays.files if name != _SIZE}, (height, width))
