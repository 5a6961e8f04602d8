"""How far the predicted IoU can be trusted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True, eq=False)
class Reliability:
    """A reliability curve in bins of equal width over predicted IoU 0 to 1; NaN where a bin is empty.

    Attributes
    ----------
    edges : (B + 1,) of the bins.
    count : (B,) predictions.
    predicted, true : (B,) mean predicted and mean true IoU.
    """

    edges: NDArray[np.float64]
    count: NDArray[np.int64]
    predicted: NDArray[np.float64]
    true: NDArray[np.float64]


def reliability(predicted: ArrayLike, true: ArrayLike, bins: int = 10) -> Reliability:
    """Return mean true IoU against mean predicted IoU.

    Parameters
    ----------
    predicted, true : (N,) IoU; predictions outside 0..1 count in the first or last bin.
    bins : number of bins.

    Raises
    ------
    ValueError
        If the two differ in length, or one holds a NaN.
    """
    first, second = np.asarray(predicted, float), np.asarray(true, float)
    if first.shape != second.shape or first.ndim != 1:
        raise ValueError(f"Predicted and true IoU need one length (N,); got {first.shape} and {second.shape}.")
    if np.isnan(first).any() or np.isnan(second).any():
        raise ValueError("Predicted and true IoU must be numbers; got NaN. Leave out what was not measured.")
    edges = np.linspace(0, 1, bins + 1, dtype=np.float64)
    which = np.clip((first * bins).astype(int), 0, bins - 1)
    count = np.bincount(which, minlength=bins)
    with np.errstate(invalid="ignore"):
        means = [np.bincount(which, values, bins) / count for values in (first, second)]
    return Reliability(edges, count, *means)


def expected_calibration_error(predicted: ArrayLike, true: ArrayLike, bins: int = 10) -> float:
    """Return the mean distance of the reliability curve from the diagonal, each bin weighing as many as it holds.

    Parameters, errors : as for `reliability`. NaN without any prediction.

    References
    ----------
    Guo et al., On Calibration of Modern Neural Networks, ICML 2017, equation 3, with IoU in place of accuracy.

    Examples
    --------
    >>> round(expected_calibration_error([0.9, 0.9, 0.5], [0.8, 0.6, 0.5]), 4)
    0.1333
    """
    curve = reliability(predicted, true, bins)
    total = int(curve.count.sum())
    if not total:
        return float("nan")
    used = curve.count > 0
    return float((curve.count[used] * np.abs(curve.predicted[used] - curve.true[used])).sum() / total)
