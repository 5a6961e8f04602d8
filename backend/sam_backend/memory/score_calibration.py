"""The score of an outline: the probability that it is correct, fitted to outlines in images of left-out examples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sam_backend.arrays import FloatArray
from sam_backend.masks import mask_iou
from sam_backend.memory.class_outlines import SCORE_FEATURES, ClassOutline
from sam_backend.memory.features import AcceptedMask
from sam_backend.memory.grid import on_grid
from sam_backend.memory.logistic import fit_logistic

CORRECT_IOU = 0.5
"""IoU with an accepted mask of the same label from which an outline is correct."""

_RIDGE = 4.0
"""How strongly a fit is drawn to the default: the loss of a squared distance of two, in outlines."""


@dataclass(frozen=True)
class ScoreCalibration:
    """A logistic function of an outline's score features.

    Attributes
    ----------
    weights : a weight for each score feature, and the bias.
    outlines : number of outlines to which it was fitted.
    """

    weights: tuple[float, ...]
    outlines: int = 0

    def score(self, outline: ClassOutline) -> float:
        """Return the probability that an outline is correct, in [0, 1]."""
        # Imported late, because it is slow and a service must listen before it.
        from scipy.special import expit

        return float(expit(_standardised(outline.score_features[None])[0] @ np.array(self.weights)))


def are_correct(outlines: Sequence[ClassOutline], masks: Sequence[AcceptedMask]) -> list[bool]:
    """Return which outlines of an image are correct.

    Each accepted mask makes one outline correct at most: the one with the highest IoU.

    Parameters
    ----------
    outlines : outlines in the image.
    masks : accepted masks of the image.
    """
    truths = [(on_grid(accepted.mask), accepted.label) for accepted in masks]
    ious = np.array(
        [[mask_iou(outline.mask, truth) * (outline.label == label) for truth, label in truths] for outline in outlines]
    ).reshape(len(outlines), len(truths))
    correct = [False] * len(outlines)
    for column in range(len(truths)):
        row = int(ious[:, column].argmax()) if len(outlines) else 0
        if len(outlines) and ious[row, column] >= CORRECT_IOU:
            correct[row] = True
    return correct


def fit_calibration(
    outlines: Sequence[ClassOutline], correct: Sequence[bool], default: ScoreCalibration
) -> ScoreCalibration:
    """Fit a calibration to outlines; with few of them it stays close to the default.

    Parameters
    ----------
    outlines : outlines, may be empty.
    correct : whether each of them is correct.
    default : ScoreCalibration before any outline is known.
    """
    if not outlines:
        return default
    x = _standardised(np.stack([outline.score_features for outline in outlines]))
    shares = np.eye(2)[np.asarray(correct, np.int64)]
    weights = fit_logistic(x, shares, np.ones(len(x)), np.array(default.weights)[:, None], _RIDGE)
    return ScoreCalibration(tuple(weights[:, 0].tolist()), len(outlines))


def _standardised(features: FloatArray) -> FloatArray:
    """Bring score features (N, 5) to a similar range, and add a column of ones."""
    middle, scale = np.array(_MIDDLE), np.array(_SCALE)
    return np.hstack([(features - middle) / scale, np.ones((len(features), 1))])


# About the mean and the standard deviation of the score features, and a fit to the outlines in left-out example images
# of two data sets of metal surfaces, of equal weight: docs/decisions/025-scores-and-clicks.md.
_MIDDLE = (0.7, 0.4, 2.4, 0.8, 5.2)
_SCALE = (0.5, 0.65, 1.2, 0.15, 1.5)

DEFAULT_CALIBRATION = ScoreCalibration((0.5, 0.6, 1.61, 0.39, 0.52, -2.65))

assert len(_MIDDLE) == len(_SCALE) == len(SCORE_FEATURES)
