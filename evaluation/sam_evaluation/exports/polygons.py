"""A mask as polygons, in pixels of the image."""

from __future__ import annotations

from functools import reduce

import numpy as np
from numpy.typing import NDArray

from sam_backend.labelstudio.outlines import joined, pixel_rings
from sam_backend.samples import Cropped
from sam_evaluation.datasets.tally import Tally

MOST = 1000
"""Most holes of a part that an outline goes around, and most parts of a mask, the largest ones."""

EDITABLE = (0.5, 0.98)
"""Tolerance in pixels, and least IoU of a part, of outlines that people edit."""

Ring = NDArray[np.float64]


def exact_rings(mask: Cropped, tally: Tally) -> list[Ring]:
    """Return one ring for each part of a mask, (N, 2) x and y, along the edges of its pixels: nothing is lost.

    A ring goes to a hole through a slit without width.
    """
    return _few(pixel_rings(mask, 0, 1, MOST), tally)


def editable_rings(mask: Cropped, tally: Tally) -> list[Ring]:
    """Return one ring for each part of a mask, with fewer corners: see `EDITABLE`."""
    return _few(pixel_rings(mask, *EDITABLE, MOST), tally)


def one_ring(mask: Cropped, tally: Tally) -> Ring:
    """Return one ring around all parts of a mask, through slits without width between their nearest corners."""
    return reduce(joined, exact_rings(mask, tally))


def _few(rings: list[Ring], tally: Tally) -> list[Ring]:
    for _ in rings[MOST:]:
        tally.leave_out(f"part of a mask of more than {MOST:,} parts, one of the smallest")
    return rings[:MOST]
