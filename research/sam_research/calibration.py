"""Makes the predicted IoU of `nano` agree with the true one on scenes that it never saw (Platt scaling)."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize

_LEAST = 1e-4


def fit(predicted: NDArray[np.floating], iou: NDArray[np.floating]) -> tuple[float, float]:
    """Return slope and offset of the log-odds of `predicted` (N,) with the least cross-entropy to `iou` (N,).

    References
    ----------
    Platt, Probabilistic outputs for support vector machines, 1999, with a share of an area for a class.
    """
    kept = np.clip(predicted.astype(np.float64), _LEAST, 1 - _LEAST)
    odds = np.log(kept / (1 - kept))
    truth = iou.astype(np.float64)

    def cost(line: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        moved = line[0] * odds + line[1]
        error = 1 / (1 + np.exp(-moved)) - truth
        entropy = np.logaddexp(0, moved) - truth * moved
        return float(entropy.mean()), np.array([(error * odds).mean(), error.mean()])

    slope, offset = minimize(cost, np.array([1.0, 0.0]), jac=True, method="BFGS").x
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
