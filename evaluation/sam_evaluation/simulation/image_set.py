"""Samples of one side of a data set, and their embeddings: those of the shipped model are kept for all runs."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from cachetools import LRUCache

from sam_backend.samples import Sample
from sam_backend.segmenters import Embedding, Segmenter
from sam_backend.segmenters.cache import EmbeddingCache
from sam_evaluation.datasets.registry import DatasetSpec

_SAMPLES = 256
"""Samples kept in memory; a run reads most of its images several times."""


@dataclass(frozen=True, eq=False)
class EmbeddingCaches:
    """The two caches of embeddings.

    Attributes
    ----------
    shipped : EmbeddingCache of the model `version`, on disk, shared by all runs.
    tuned : EmbeddingCache of tuned models, in memory: no other run has the same weights.
    version : str, version of the shipped model.
    """

    shipped: EmbeddingCache
    tuned: EmbeddingCache
    version: str

    def of(self, segmenter: Segmenter) -> EmbeddingCache:
        """Return the cache for the embeddings of a segmenter."""
        return self.shipped if segmenter.version == self.version else self.tuned


class ImageSet:
    """The images of a data set.

    Parameters
    ----------
    spec : DatasetSpec, the data set.
    fingerprint : str, changes when its files change.
    embeddings : EmbeddingCaches.
    """

    def __init__(self, spec: DatasetSpec, fingerprint: str, embeddings: EmbeddingCaches) -> None:
        self._dataset = spec.open()
        self._key = f"{spec.format}\n{spec.folder.resolve()}\n{spec.split}\n{fingerprint}"
        self._embeddings = embeddings
        self._samples: LRUCache[str, Sample] = LRUCache(_SAMPLES)

    def load(self, name: str) -> Sample:
        """Return an image with its objects; raise BrokenSampleError if it cannot be read."""
        if name not in self._samples:
            self._samples[name] = self._dataset.load(name)
        return self._samples[name]

    def embed(self, segmenter: Segmenter, name: str) -> Embedding:
        """Return the embedding of an image; raise BrokenSampleError if it cannot be read."""
        key = hashlib.sha256(f"{segmenter.version}\n{self._key}\n{name}".encode()).hexdigest()
        embedding, _ = self._embeddings.of(segmenter).fetch(key, segmenter, lambda: self.load(name).image)
        return embedding
