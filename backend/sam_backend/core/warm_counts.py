"""How far a warm-up has come."""

from __future__ import annotations

from dataclasses import dataclass

from sam_backend.segmenters import Embedding


@dataclass
class WarmCounts:
    """How far a warm-up has come.

    Attributes
    ----------
    images : int, all images.
    encoded : int, those encoded now.
    known : int, those that were in the cache before.
    failed : int, those that cannot be used; the log names each.
    mean_bytes : float, mean size of the embeddings that were measured.
    measured : int, their number.
    """

    images: int = 0
    encoded: int = 0
    known: int = 0
    failed: int = 0
    mean_bytes: float = 0.0
    measured: int = 0

    @property
    def ready(self) -> int:
        """Images whose embeddings are in the cache."""
        return self.encoded + self.known

    def measure(self, embedding: Embedding) -> None:
        """Count the size of an embedding."""
        self.measured += 1
        self.mean_bytes += (embedding.nbytes - self.mean_bytes) / self.measured
