"""How likely an outline in a frame is an object that is followed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sam_backend.arrays import BoolArray, FloatArray
from sam_backend.samples import Cropped
from sam_backend.video.appearance import around
from sam_backend.video.motion import Motion

PARTS = ("predicted IoU", "inside", "contrast", "smaller", "larger", "distance", "overlap", "absent")
"""The parts of the evidence, in the order of `WEIGHTS`."""

WEIGHTS = np.array([5.58, 0.83, 4.05, -1.75, -3.82, -3.32, 0.95, -0.98])
BIAS = -4.22
"""Fitted by `tests/benchmarks/tracking.py --fit` on clips of moving shapes: where these outlines have an IoU of a half
with the object."""

_SPREADS, _SPREADS_UNKNOWN = 0.25, 1.0
"""Radii by which the place of an object is less sure after each frame in which it is hidden, where its velocity was
seen before, and where it was not."""


@dataclass(frozen=True, eq=False)
class Outline:
    """What the segmenter answered to one of the prompts of a frame.

    Attributes
    ----------
    mask : Cropped, with at least one pixel.
    predicted_iou : float, the segmenter's estimate.
    cells : bool (rows, columns), the cells that the mask covers.
    """

    mask: Cropped
    predicted_iou: float
    cells: BoolArray


def evidence(motion: Motion, response: FloatArray, outline: Outline) -> NDArray[np.float64]:
    """Return how an outline agrees with an object, (8,) in the order of `PARTS`.

    Parameters
    ----------
    motion : Motion, where the object is expected.
    response : float32 (rows, columns), of the object's appearance in the frame.
    outline : Outline.
    """
    ring = around(outline.cells)
    inside = _mean(response, outline.cells)
    beside = _mean(response, ring) if ring.any() else 0.0
    share = outline.mask.area / max(motion.area, 1.0)
    left, top, right, bottom = outline.mask.box
    away = np.linalg.norm(np.array([left + right, top + bottom]) / 2 - motion.expected) / motion.radius
    # The middle of a part lies off that of the whole.
    away = max(away - (1 - np.sqrt(min(share, 1.0))), 0.0)
    spreads = _SPREADS if motion.is_known else _SPREADS_UNKNOWN
    return np.array(
        [
            outline.predicted_iou,
            inside,
            inside - beside,
            max(-np.log(share), 0.0),
            max(np.log(share), 0.0),
            min(away / (1 + spreads * motion.absent), 4.0),
            0.0 if motion.absent else outline.mask.iou(motion.moved()),
            min(motion.absent, 10) / 10,
        ]
    )


def _mean(response: FloatArray, cells: BoolArray) -> float:
    return float(np.clip(response[cells], -0.5, 1.5).mean())


def score_of(parts: NDArray[np.float64]) -> float:
    """Return the probability that an outline with this evidence is the object."""
    return float(1 / (1 + np.exp(-(parts @ WEIGHTS + BIAS))))
