"""Embeddings of the images of tasks: kept, or made of what Label Studio's servers send."""

from __future__ import annotations

import hashlib
import os
import threading

from sam_backend.arrays import ImageArray
from sam_backend.core.model import MeasuredSegmenter
from sam_backend.errors import SamInspectError
from sam_backend.labelstudio.images import TaskImages
from sam_backend.labelstudio.servers import ServerRegistry
from sam_backend.segmenters import Embedding, Segmenter
from sam_backend.segmenters.cache import EmbeddingCache
from sam_backend.service.metrics import Metrics
from sam_backend.service.tracing import Trace


class TaskEmbeddings:
    """Embeds the images of tasks, with no more at work at once than there are cores. Safe to share between threads."""

    def __init__(self, images: TaskImages, servers: ServerRegistry, cache: EmbeddingCache, metrics: Metrics) -> None:
        self._images = images
        self._servers = servers
        self._cache = cache
        self._metrics = metrics
        self._slots = threading.BoundedSemaphore(os.cpu_count() or 1)

    def measured(self, segmenter: Segmenter) -> Segmenter:
        """Return a segmenter that is timed and waits for its turn."""
        return MeasuredSegmenter(segmenter, self._metrics, self._slots)

    def fetch(
        self, segmenter: Segmenter, url: str, project: str | int | None, task: int | str | None, trace: Trace
    ) -> tuple[str, Embedding]:
        """Return the embedding of an image and the key it is kept under; only a miss fetches the image.

        Raises
        ------
        SamInspectError
            If the image cannot be had.
        """
        server = self._servers.find(str(project))
        # The server is part of the key, so that one Label Studio's users never see images of another's.
        named = "\n".join((segmenter.version, server.hostname if server else "", url))
        key = hashlib.sha256(named.encode()).hexdigest()

        def load() -> ImageArray:
            try:
                file = self._images.fetch(url, server, task)
            except SamInspectError as error:
                self._metrics.image_errors.labels(error.status).inc()
                raise
            with self._slots:
                return self._images.decode(file, url)

        embedding, source = self._cache.fetch(key, segmenter, load)
        self._metrics.count_embedding(source)
        trace.image = source
        return key, embedding
