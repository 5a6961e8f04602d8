"""Masks as runs of pixels: small to keep, and a click is tested without decoding the mask."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from sam_backend.arrays import BoolArray
from sam_backend.samples import Cropped

Box = tuple[int, int, int, int]

_BLOCK_PIXELS = 1 << 22


@dataclass(frozen=True, eq=False)
class MaskRuns:
    """A mask of an image as its runs, in the order of rows.

    Attributes
    ----------
    size : (height, width) of the image in pixels.
    starts, stops : (N,) int64, the runs, half-open, as indices of the flat mask; they may go on over the end of a row.
    """

    size: tuple[int, int]
    starts: NDArray[np.int64]
    stops: NDArray[np.int64]

    @classmethod
    def of_mask(cls, mask: BoolArray | Cropped) -> MaskRuns:
        """Return the runs of a mask, bool (H, W) or Cropped; only the mask's box takes memory."""
        cropped = Cropped.of(mask)
        height, width = cropped.size
        part, (top, left) = cropped.part, cropped.corner
        step = max(1, _BLOCK_PIXELS // max(part.shape[1], 1))
        places = [np.zeros(0, np.int64)]
        for first_row in range(0, part.shape[0], step):
            # With a column outside after each row, every run ends in the row in which it starts.
            flat = np.pad(part[first_row : first_row + step], ((0, 0), (0, 1))).ravel().view(np.int8)
            rows, columns = np.divmod(np.flatnonzero(np.diff(flat, prepend=np.int8(0))), part.shape[1] + 1)
            places.append((rows + first_row + top) * width + columns + left)
        edges = np.concatenate(places)
        starts, stops = edges[::2], edges[1::2]
        # Runs over the whole width go on in the next row.
        ends = np.flatnonzero(starts[1:] != stops[:-1])
        first, last = np.concatenate([[0], ends + 1]), np.concatenate([ends, [len(starts) - 1]])
        return cls((height, width), starts[first], stops[last]) if len(starts) else cls((height, width), starts, stops)

    @property
    def area(self) -> int:
        """Number of pixels."""
        return int((self.stops - self.starts).sum())

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return self.starts.nbytes + self.stops.nbytes

    @cached_property
    def box(self) -> Box | None:
        """The smallest box around the mask, xyxy in pixels, half-open; None without pixels."""
        if not len(self.starts):
            return None
        width = self.size[1]
        (top, left), (bottom, right) = divmod(self.starts, width), divmod(self.stops - 1, width)
        if (top != bottom).any():
            # A run over several rows touches both sides.
            return 0, int(top.min()), width, int(bottom.max()) + 1
        return int(left.min()), int(top.min()), int(right.max()) + 1, int(bottom.max()) + 1

    def contains(self, x: float, y: float) -> bool:
        """Return whether the pixel at a point of the image belongs to the mask."""
        index = int(y) * self.size[1] + int(x)
        run = int(np.searchsorted(self.starts, index, "right")) - 1
        return run >= 0 and index < int(self.stops[run])

    def distance(self, x: float, y: float, limit: float) -> float | None:
        """Return how far a point of the image is from the mask: from pixel to pixel, 0 inside.

        Parameters
        ----------
        x, y : float, in pixels.
        limit : float, the largest distance of interest, in pixels.

        Returns
        -------
        float or None
            None where it is larger than the limit.
        """
        box = self.box
        if box is None or not (box[0] - limit <= x <= box[2] + limit and box[1] - limit <= y <= box[3] + limit):
            return None
        reach = int(limit) + 1
        column, row = int(x), int(y)
        top, bottom = max(row - reach, 0), min(row + reach + 1, self.size[0])
        left, right = max(column - reach, 0), min(column + reach + 1, self.size[1])
        rows, columns = np.nonzero(self._rows(top, bottom)[:, left:right])
        if not len(rows):
            return None
        nearest = float(np.hypot(rows + top - row, columns + left - column).min())
        return nearest if nearest <= limit else None

    def mask(self) -> BoolArray:
        """Return the mask (H, W)."""
        return self._rows(0, self.size[0])

    def cropped(self) -> Cropped:
        """Return the mask in its box."""
        left, top, right, bottom = self.box or (0, 0, 0, 0)
        return Cropped(self._rows(top, bottom)[:, left:right].copy(), (top, left), self.size)

    def is_like(self, other: MaskRuns, least_iou: float) -> bool:
        """Return whether the IoU with another mask of the same image is at least so large."""
        if self.size != other.size:
            return False
        if np.array_equal(self.starts, other.starts) and np.array_equal(self.stops, other.stops):
            return True
        small, large = sorted((self.area, other.area))
        if small < least_iou * large or self.box is None or other.box is None:
            return False
        rows = max(self.box[1], other.box[1]), min(self.box[3], other.box[3])
        if rows[0] >= rows[1]:
            return False
        shared = int(np.count_nonzero(self._rows(*rows) & other._rows(*rows)))
        union = small + large - shared
        return shared >= least_iou * union

    def _rows(self, top: int, bottom: int) -> BoolArray:
        """Return the rows of the mask from `top` to `bottom`."""
        width = self.size[1]
        low, high = top * width, bottom * width
        kept = slice(int(np.searchsorted(self.stops, low, "right")), int(np.searchsorted(self.starts, high, "left")))
        starts, stops = self.starts[kept].clip(low, high) - low, self.stops[kept].clip(low, high) - low
        edges = np.column_stack([starts, stops]).ravel()
        lengths = np.diff(edges, prepend=0, append=high - low)
        values = np.arange(len(lengths)) % 2 == 1
        return np.repeat(values, lengths).reshape(bottom - top, width)


def box_iou(one: Box, other: tuple[float, ...]) -> float:
    """Return the intersection over union of two boxes xyxy, in [0, 1]."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    shared = max(width, 0.0) * max(height, 0.0)
    areas = ((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other))
    return shared / (sum(areas) - shared)
