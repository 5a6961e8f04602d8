"""The reliability of the IoU that a model predicts for its own masks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

_DRAWS = 200


@dataclass(frozen=True, eq=False)
class Reliability:
    """A reliability curve over bins of equal width of the predicted IoU from 0 to 1.

    Attributes
    ----------
    edges : (B + 1,) edges of the bins.
    count : (B,) number of predictions in each bin.
    predicted, true : (B,) mean predicted IoU and mean true IoU; NaN for an empty bin.
    """

    edges: NDArray[np.float64]
    count: NDArray[np.int64]
    predicted: NDArray[np.float64]
    true: NDArray[np.float64]


def reliability(predicted: ArrayLike, true: ArrayLike, bins: int = 10) -> Reliability:
    """Return the mean true IoU against the mean predicted IoU, in bins of the predicted IoU.

    Parameters
    ----------
    predicted, true : (N,) IoU. A prediction outside 0 to 1 counts in the first or the last bin.
    bins : int, the number of bins.

    Raises
    ------
    ValueError
        If the two differ in length, or one contains NaN.
    """
    first, second = np.asarray(predicted, float), np.asarray(true, float)
    if first.shape != second.shape or first.ndim != 1:
        raise ValueError(f"Predicted and true IoU need one length (N,); got {first.shape} and {second.shape}.")
    if np.isnan(first).any() or np.isnan(second).any():
        raise ValueError("Predicted and true IoU must be numbers; got NaN. Leave out objects that were not measured.")
    edges = np.linspace(0, 1, bins + 1, dtype=np.float64)
    which = np.clip((first * bins).astype(int), 0, bins - 1)
    count = np.bincount(which, minlength=bins)
    with np.errstate(invalid="ignore"):
        means = [np.bincount(which, values, bins) / count for values in (first, second)]
    return Reliability(edges, count, *means)


def expected_calibration_error(predicted: ArrayLike, true: ArrayLike, bins: int = 10) -> float:
    """Return the expected calibration error: the mean distance of the reliability curve from the diagonal.

    Each bin has the weight of the number of its predictions. Parameters and errors are those of `reliability`. The
    result is NaN without any prediction.

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


def calibration_error_by_chance(scores: ArrayLike, bins: int = 10) -> float:
    """Return the expected calibration error of so many predictions if every score is exactly the probability.

    The fewer predictions there are, the larger it is, since the share of correct ones in a bin scatters.

    Parameters
    ----------
    scores : (N,) probabilities in [0, 1] that a prediction is correct; NaN is returned for N = 0.
    bins : int, the number of bins.

    Examples
    --------
    >>> few, many = (calibration_error_by_chance(np.linspace(0, 1, count)) for count in (30, 3000))
    >>> round(few, 2), round(many, 2)
    (0.18, 0.02)
    """
    chances, draws = np.asarray(scores, float), np.random.default_rng(0)
    outcomes = draws.random((_DRAWS, len(chances))) < chances
    return float(np.mean([expected_calibration_error(chances, outcome, bins) for outcome in outcomes]))
