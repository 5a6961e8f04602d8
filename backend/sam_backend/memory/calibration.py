"""How likely an outline of the memory is right: learnt by leaving each example out and looking for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from sam_backend.arrays import BoolArray, FloatArray
from sam_backend.memory.features import AcceptedMask
from sam_backend.memory.proposals import EVIDENCE, GRID, Outline

RIGHT = 0.5
"""IoU with an accepted mask of its label from which an outline is right."""

_FIRM = 4.0
"""How firmly what is usual is held to: what a deviation of one costs, in outlines."""


@dataclass(frozen=True)
class Calibration:
    """A logistic function of an outline's evidence.

    Attributes
    ----------
    weights : one for each part of the evidence, and the bias.
    seen : outlines of left-out examples that it was fitted to.
    """

    weights: tuple[float, ...]
    seen: int = 0

    def score(self, outline: Outline) -> float:
        """Return the probability that an outline is right."""
        total = float(_scaled(outline.evidence[None])[0] @ np.array(self.weights))
        return float(1 / (1 + np.exp(-total)))


def rightness(outlines: Sequence[Outline], masks: Sequence[AcceptedMask]) -> list[bool]:
    """Tell which outlines are right, each accepted mask counting for one outline at most, the one it overlaps most."""
    parts = [(on_grid(accepted.mask), accepted.label) for accepted in masks]
    ious = np.array(
        [[_iou(outline.part, part) if outline.label == label else 0.0 for part, label in parts] for outline in outlines]
    ).reshape(len(outlines), len(parts))
    right = [False] * len(outlines)
    for column in range(len(parts)):
        row = int(ious[:, column].argmax()) if len(outlines) else 0
        if len(outlines) and ious[row, column] >= RIGHT:
            right[row] = True
    return right


def on_grid(mask: BoolArray) -> BoolArray:
    """Return a mask (H, W) on the grid (GRID, GRID) of outlines."""
    scale = GRID / max(mask.shape)
    rows, columns = (max(1, min(GRID, round(side * scale))) for side in mask.shape)
    grid = np.zeros((GRID, GRID), bool)
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    grid[:rows, :columns] = cv2.resize(mask.astype(np.float32), (columns, rows), interpolation=interpolation) >= 0.5
    return grid


def calibrate(outlines: Sequence[Outline], right: Sequence[bool], usual: Calibration) -> Calibration:
    """Fit a calibration to outlines that were right or not, drawn towards what is usual while they are few."""
    if not outlines:
        return usual
    x = _scaled(np.stack([outline.evidence for outline in outlines]))
    y = np.asarray(right, np.float64)
    start = np.array(usual.weights)

    def loss(weights: FloatArray) -> tuple[float, FloatArray]:
        z = x @ weights
        value = float(np.logaddexp(0, z).sum() - y @ z) + _FIRM / 2 * float(((weights - start) ** 2).sum())
        return value, x.T @ (1 / (1 + np.exp(-z)) - y) + _FIRM * (weights - start)

    # Imported late, because it is slow and a service must listen before it.
    from scipy.optimize import minimize

    best = minimize(loss, start, jac=True, method="L-BFGS-B")
    return Calibration(tuple(best.x.tolist()), len(outlines))


def _scaled(evidence: FloatArray) -> FloatArray:
    """Bring evidence (N, 5) to about the same range, and add a column of ones."""
    middle, scale = np.array(_MIDDLE), np.array(_SCALE)
    return np.hstack([(evidence - middle) / scale, np.ones((len(evidence), 1))])


def _iou(a: BoolArray, b: BoolArray) -> float:
    return float((a & b).sum() / max((a | b).sum(), 1))


# About the mean and the spread of the evidence, and a fit to it, on example images of two data sets of metal surfaces
# with one to twenty examples a class: docs/decisions/014-example-memory.md.
_MIDDLE = (0.7, 0.4, 2.4, 0.8, 5.2)
_SCALE = (0.5, 0.65, 1.2, 0.15, 1.5)

USUAL = Calibration((0.55, 0.0, 1.0, 0.65, 0.8, -3.2))

assert len(_MIDDLE) == len(_SCALE) == len(EVIDENCE)
