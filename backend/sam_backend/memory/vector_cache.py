"""The vectors of recently used examples of all projects, up to a limit in bytes."""

from __future__ import annotations

import threading
from collections.abc import Hashable

from cachetools import LRUCache

from sam_backend.memory.features import FeatureVectors

_BYTES = 256 * 2**20


class VectorCache:
    """Vectors by any key; the least recently used go first. Safe to share between threads.

    Parameters
    ----------
    limit : int, bytes of all vectors together.
    """

    def __init__(self, limit: int = _BYTES) -> None:
        self._vectors: LRUCache[Hashable, FeatureVectors] = LRUCache(limit, getsizeof=_size)
        self._lock = threading.Lock()

    def get(self, key: Hashable) -> FeatureVectors | None:
        """Return the vectors of a key; None where they are not kept."""
        with self._lock:
            return self._vectors.get(key)

    def put(self, key: Hashable, vectors: FeatureVectors) -> None:
        """Keep vectors, unless they alone are larger than the limit."""
        with self._lock:
            if _size(vectors) <= self._vectors.maxsize:
                self._vectors[key] = vectors


def _size(vectors: FeatureVectors) -> int:
    return vectors.values.nbytes + vectors.labels.nbytes + vectors.weights.nbytes
