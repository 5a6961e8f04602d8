"""What an object looks like: a ridge regression that tells its cells from all others in the frames so far."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from sam_backend.arrays import BoolArray, FloatArray
from sam_backend.samples import Cropped
from sam_backend.segmenters import Embedding, Segmenter

NEAR = 5
"""Width in cells of what counts as near an object."""

_RIDGE = 0.02
_FORGETS = 0.1
"""Share of what the last frames taught that a new frame replaces; what a prompt taught stays."""

_FAR_STEP = 3
"""Far from all objects, each third row and column is enough."""


@dataclass(frozen=True, eq=False)
class Cells:
    """What a model sees in a frame, cell by cell.

    Attributes
    ----------
    values : float32 (rows, columns, D), differences from the frame's median, and a column of ones.
    size : (H, W) of the frame in pixels.
    """

    values: FloatArray
    size: tuple[int, int]

    @classmethod
    def of(cls, segmenter: Segmenter, embedding: Embedding) -> Cells:
        """Return the cells of an embedding; raises BadRequestError for a model without features."""
        inside = segmenter.features(embedding).inside
        sample = inside[::4, ::4].reshape(-1, inside.shape[2])
        median = np.median(sample, 0)
        spread = np.abs(sample - median).mean(0) + 1e-3
        ones = np.ones((*inside.shape[:2], 1), np.float32)
        return cls(np.concatenate([np.clip((inside - median) / spread, -8, 8), ones], 2), embedding.size)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.values.shape[0], self.values.shape[1]

    @property
    def side(self) -> float:
        """Pixels of a side of a cell."""
        return max(self.size) / max(self.shape)

    def covered(self, mask: Cropped) -> BoolArray:
        """Return the cells that a mask covers by half; one smaller than a cell has that of which it covers most."""
        rows, columns = self.shape
        share = cv2.resize(mask.mask.astype(np.float32), (columns, rows), interpolation=cv2.INTER_AREA)
        covered: BoolArray = share >= max(min(0.5, float(share.max())), 1e-6)
        return covered


def around(cells: BoolArray) -> BoolArray:
    """Return the cells near those of an object, without them."""
    near: BoolArray = cv2.dilate(cells.astype(np.uint8), np.ones((2 * NEAR + 1,) * 2, np.uint8)) > 0
    return near & ~cells


class Appearance:
    """The regression of one object; `response` is near 1 where the object is seen, near 0 elsewhere."""

    def __init__(self) -> None:
        self._first: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None
        self._recent: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None
        self.weights: NDArray[np.float32] = np.zeros(0, np.float32)

    def learn(self, cells: Cells, own: BoolArray, others: BoolArray, *, prompted: bool) -> None:
        """Learn from a frame.

        Parameters
        ----------
        cells : Cells of the frame.
        own, others : bool (rows, columns), the object's cells and those of the other objects.
        prompted : bool, whether a prompt said where the object is; that is never forgotten.
        """
        near = around(own) & ~others
        far = np.zeros_like(own)
        far[::_FAR_STEP, ::_FAR_STEP] = True
        far &= ~(own | others | near)
        groups = [(own & ~others, 1.0, 1.0), (others & ~own, 0.5, 0.0), (near, 0.5, 0.0), (far, 0.5, 0.0)]
        depth = cells.values.shape[2]
        gram, toward = np.zeros((depth, depth)), np.zeros(depth)
        for part, weight, target in groups:
            values = cells.values[part]
            if len(values):
                gram += weight / len(values) * (values.T @ values)
                toward += weight * target * values.mean(0)
        if prompted:
            before = self._first or (np.zeros_like(gram), np.zeros_like(toward))
            self._first = before[0] + gram, before[1] + toward
        else:
            old = self._recent or (gram, toward)
            self._recent = (old[0] + _FORGETS * (gram - old[0]), old[1] + _FORGETS * (toward - old[1]))
        parts = [part for part in (self._first, self._recent) if part is not None]
        total = np.mean([part[0] for part in parts], 0) + _RIDGE * np.eye(depth)
        self.weights = np.linalg.solve(total, np.mean([part[1] for part in parts], 0)).astype(np.float32)

    def response(self, cells: Cells) -> FloatArray:
        """Return the response of each cell, float32 (rows, columns)."""
        answer: FloatArray = cells.values @ self.weights
        return answer
