"""Samples of one side of a data set, and their embeddings: those of the model that ships are kept for all runs."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from cachetools import LRUCache

from sam_backend.samples import Sample
from sam_backend.segmenters import Embedding, Segmenter
from sam_backend.segmenters.cache import EmbeddingCache
from sam_evaluation.datasets.registry import DatasetSpec

_SAMPLES = 256
"""Samples kept in memory; a run comes back to most of its images."""


@dataclass(frozen=True, eq=False)
class Embeddings:
    """Where embeddings are kept.

    Attributes
    ----------
    kept : of the model `version`, on disk and shared by all runs.
    passing : of tuned models, in memory: nobody else has the same weights.
    version : of the model that ships.
    """

    kept: EmbeddingCache
    passing: EmbeddingCache
    version: str

    def of(self, segmenter: Segmenter) -> EmbeddingCache:
        """Return where embeddings of a segmenter are."""
        return self.kept if segmenter.version == self.version else self.passing


class ImageSet:
    """The images of a data set.

    Parameters
    ----------
    spec : names it.
    stamp : changes with its files.
    embeddings : where embeddings are kept.
    """

    def __init__(self, spec: DatasetSpec, stamp: str, embeddings: Embeddings) -> None:
        self._dataset = spec.open()
        self._stamp = f"{spec.format}\n{spec.folder.resolve()}\n{spec.split}\n{stamp}"
        self._embeddings = embeddings
        self._samples: LRUCache[str, Sample] = LRUCache(_SAMPLES)

    def load(self, name: str) -> Sample:
        """Return an image with its objects; BrokenSampleError where it cannot be read."""
        if name not in self._samples:
            self._samples[name] = self._dataset.load(name)
        return self._samples[name]

    def embed(self, segmenter: Segmenter, name: str) -> Embedding:
        """Return the embedding of an image; BrokenSampleError where it cannot be read."""
        key = hashlib.sha256(f"{segmenter.version}\n{self._stamp}\n{name}".encode()).hexdigest()
        embedding, _ = self._embeddings.of(segmenter).fetch(key, segmenter, lambda: self.load(name).image)
        return embedding
