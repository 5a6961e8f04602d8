"""A cache of embeddings: an image is encoded once, whoever asks and however often, also across restarts."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from cachetools import LRUCache

from sam_backend import deadlines
from sam_backend.arrays import ImageArray
from sam_backend.segmenters.embedding_folder import EmbeddingFolder
from sam_backend.segmenters.image_reader import PixelReader
from sam_backend.segmenters.pixels import encode_image
from sam_backend.segmenters.protocol import Embedding, Segmenter
from sam_backend.settings import Settings

_MEBIBYTE = 2**20


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
        self._disk = None if folder is None else EmbeddingFolder(folder, disk_bytes)
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
        self, key: str, segmenter: Segmenter, load_image: Callable[[], ImageArray | PixelReader | Embedding]
    ) -> tuple[Embedding, EmbeddingSource]:
        """Return the embedding of `key` and where it came from.

        A caller who asks for a key that is being encoded waits for that encoding and shares its result or its
        exception. An exception is not kept. If the request that encodes is over before it is done, one of those who
        wait encodes.

        Parameters
        ----------
        key : str, unique for an image and a version of the segmenter.
        segmenter : Segmenter, encodes on a miss.
        load_image : function that returns the image, uint8 RGB (H, W, 3) or as a reader, or its embedding where that is
            kept under another key; called on a miss only.
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
        return self._disk is not None and key in self._disk

    def find(self, key: str) -> Embedding | None:
        """Return the embedding of `key` if it is on disk."""
        return None if self._disk is None else self._disk.get(key)

    def write_in(self, context: Callable[[], AbstractContextManager[object]]) -> None:
        """Write embeddings to disk in a context from now on, whose entering may wait until no click is under way."""
        if self._disk is not None:
            self._disk.writes_in = context

    def fill(self) -> CacheFill:
        """Return how full the cache is."""
        with self._lock:
            used, limit = int(self._memory.currsize), int(self._memory.maxsize)
        return CacheFill(used, limit, *((0, 0) if self._disk is None else self._disk.fill()))

    def unkept(self, *, wait: bool = False) -> int:
        """Return how many embeddings could not be written to disk, see `EmbeddingFolder.unkept`."""
        return 0 if self._disk is None else self._disk.unkept(wait=wait)

    def refusal(self) -> str:
        """Return why the disk did not take an embedding, see `EmbeddingFolder.refusal`; empty if it took all."""
        return "" if self._disk is None else self._disk.refusal

    def close(self) -> None:
        """Write what is still to be written, and close the files; the cache then still works in memory."""
        if self._disk is not None:
            self._disk.close()

    def _from_disk_or_encoder(
        self, key: str, segmenter: Segmenter, load_image: Callable[[], ImageArray | PixelReader | Embedding]
    ) -> tuple[Embedding, EmbeddingSource]:
        embedding = self.find(key)
        if embedding is not None:
            return embedding, EmbeddingSource.DISK
        loaded = load_image()
        if isinstance(loaded, Embedding):
            embedding, source = loaded, EmbeddingSource.DISK
        else:
            embedding, source = encode_image(segmenter, loaded), EmbeddingSource.ENCODER
        if self._disk is not None:
            self._disk.put(key, embedding)
        return embedding, source

    def _finish(self, key: str, embedding: Embedding | None) -> None:
        with self._lock:
            del self._under_way[key]
            if embedding is not None and embedding.nbytes <= self._memory.maxsize:
                self._memory[key] = embedding


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
