"""Calibrates the predicted IoU of `nano` on held-out scenes (Platt scaling)."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import logit

from sam_backend.memory.logistic import fit_logistic

_LEAST = 1e-4


def fit(predicted: NDArray[np.floating], iou: NDArray[np.floating]) -> tuple[float, float]:
    """Return slope and offset of the log-odds of `predicted` (N,) with the least cross-entropy to `iou` (N,).

    References
    ----------
    Platt, Probabilistic outputs for support vector machines, 1999, with a share of an area for a class.
    """
    log_odds = logit(np.clip(predicted.astype(np.float64), _LEAST, 1 - _LEAST))
    x = np.column_stack([log_odds, np.ones(len(log_odds))])
    shares = np.column_stack([1 - iou, iou]).astype(np.float64)
    slope, offset = fit_logistic(x, shares, np.full(len(x), 1 / len(x)), np.array([[1.0], [0.0]])).ravel()
    return float(slope), float(offset)


def calibrate(model: Any, predicted: NDArray[np.floating], iou: NDArray[np.floating]) -> tuple[float, float]:
    """Fold a calibration into the last layer of the model's IoU head; return its slope and offset.

    Parameters
    ----------
    model : of `build_nano`; of the masks for one prompt, the same one stays the best.
    predicted, iou : (N,) what the model predicted, and what was true.
    """
    slope, offset = fit(predicted, iou)
    last = model.mask_decoder.iou_head.layers[-1]
    with torch.no_grad():
        last.weight.mul_(slope)
        last.bias.mul_(slope).add_(offset)
    return slope, offset
