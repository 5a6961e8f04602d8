"""Logistic regression: the one fit of class models and of calibrations."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def fit_logistic(
    x: NDArray[np.floating],
    shares: NDArray[np.floating],
    weights: NDArray[np.floating],
    prior: NDArray[np.floating],
    ridge: ArrayLike = 0.0,
    iterations: int = 1000,
) -> NDArray[np.float64]:
    """Return the coefficients with the least weighted cross-entropy plus ridge penalty, by L-BFGS.

    Parameters
    ----------
    x : (N, D) features, with a column of ones for a bias. The fit computes in their type, float32 or float64.
    shares : (N, K) share of each class in a row, in [0, 1]; a row sums to 1.
    weights : (N,) weights of the rows.
    prior : (D, K) coefficients from which the fit starts and to which the penalty draws it; or (D, K - 1), where the
        logit of the first class is always 0.
    ridge : number or array that broadcasts to `prior`, weight of half the squared distance from the prior.
    iterations : largest number of iterations.

    Returns
    -------
    array
        Coefficients in the shape of `prior`; the softmax of `x @ coefficients` estimates the shares.

    Examples
    --------
    >>> ones = np.ones((4, 1))
    >>> shares = np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0], [0.0, 1.0]])
    >>> float(fit_logistic(ones, shares, ones[:, 0], np.zeros((1, 1)))[0, 0].round(3))  # log(3 / 1)
    1.099
    """
    # Imported late, because it is slow and a service must listen before it.
    from scipy.optimize import minimize
    from scipy.special import log_softmax

    reference = shares.shape[1] - prior.shape[1]
    penalty = np.asarray(ridge, x.dtype)
    # A product with it is three times as fast as with a view.
    transposed = np.ascontiguousarray(x.T)

    def loss(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        coefficients = flat.reshape(prior.shape).astype(x.dtype)
        log_shares = log_softmax(np.pad(x @ coefficients, ((0, 0), (reference, 0))), axis=1)
        change = coefficients - prior.astype(x.dtype)
        value = float((penalty * change**2).sum()) / 2 - float((weights[:, None] * shares * log_shares).sum())
        error = weights[:, None] * (np.exp(log_shares) - shares)
        gradient = transposed @ error[:, reference:] + penalty * change
        return value, gradient.astype(np.float64).ravel()

    start = prior.astype(np.float64).ravel()
    best = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": iterations})
    coefficients: NDArray[np.float64] = best.x.reshape(prior.shape)
    return coefficients
