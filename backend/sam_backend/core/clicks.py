"""Clicks in pixels: what several of them together say."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sam_backend.arrays import BoolArray, FloatArray
from sam_backend.labelstudio.mask_runs import MaskRuns
from sam_backend.segmenters.protocol import POSITIVE

_SAME = 0.5
"""Pixels within which two clicks are at one point."""


@dataclass(frozen=True, eq=False)
class Clicks:
    """Clicks on an image, the oldest first.

    Attributes
    ----------
    points : (N, 2) float32, xy in pixels.
    labels : (N,) int64, 1 for a positive and 0 for a negative click.
    """

    points: FloatArray
    labels: NDArray[np.int64]

    @classmethod
    def none(cls) -> Clicks:
        """Return no clicks."""
        return cls(np.zeros((0, 2), np.float32), np.zeros(0, np.int64))

    def __len__(self) -> int:
        return len(self.labels)

    def __add__(self, other: Clicks) -> Clicks:
        return Clicks(np.concatenate([self.points, other.points]), np.concatenate([self.labels, other.labels]))

    def first(self, count: int) -> Clicks:
        """Return the oldest clicks."""
        return Clicks(self.points[:count], self.labels[:count])

    def begins(self, other: Clicks) -> bool:
        """Return whether these are the oldest clicks of `other`."""
        start = other.first(len(self))
        return np.array_equal(self.points, start.points) and np.array_equal(self.labels, start.labels)

    def last_word(self) -> Clicks:
        """Return the clicks without those that a later click at the same point repeats or contradicts."""
        gaps = np.abs(self.points[:, None] - self.points[None]).max(axis=2, initial=0.0)
        return self._those(np.count_nonzero(np.triu(gaps <= _SAME, 1), axis=1) == 0)

    def fulfilled_by(self, mask: MaskRuns) -> Clicks:
        """Return the clicks that a mask fulfils: positive ones inside, negative ones outside."""
        inside = np.array([mask.contains(x, y) for x, y in self.points.tolist()], np.bool_)
        return self._those(inside == (self.labels == POSITIVE))

    def newest(self, count: int) -> Clicks:
        """Return at most so many clicks, the newest ones."""
        return Clicks(self.points[-count:], self.labels[-count:])

    def _those(self, kept: BoolArray) -> Clicks:
        return Clicks(self.points[kept], self.labels[kept])
