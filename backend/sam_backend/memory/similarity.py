"""How much each place of an image is like each class of the memory, as a probability."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sam_backend.arrays import FloatArray
from sam_backend.memory.features import BACKGROUND, Vectors

_PENALTY = 0.005
_ITERATIONS = 60
_BALANCE = 0.75


@dataclass(frozen=True, eq=False)
class ClassModel:
    """Classes as directions in the space of features.

    Attributes
    ----------
    labels : the classes, without the background.
    weights : (D, 1 + K), the background first.
    bias : (1 + K,).
    """

    labels: tuple[str, ...]
    weights: FloatArray
    bias: FloatArray

    def probabilities(self, features: FloatArray) -> FloatArray:
        """Return (..., 1 + K) for features (..., D): the background's probability first, then each class's."""
        scores = features @ self.weights + self.bias
        scores = np.exp(scores - scores.max(-1, keepdims=True))
        shares: FloatArray = scores / scores.sum(-1, keepdims=True)
        return shares


def fit_classes(images: Sequence[Vectors], labels: Sequence[str]) -> ClassModel:
    """Fit a multinomial logistic regression to the vectors of all images, each weighted by the cells it stands for.

    Classes count by the power `_BALANCE` of their cells, so that a rare one is not drowned by the background. Features
    are standardised first, and a ridge penalty keeps few examples from saying too much.

    Parameters
    ----------
    images : at least one.
    labels : the classes to tell apart; vectors of other labels count neither for them nor as background.
    """
    known = np.array([BACKGROUND, *labels], np.str_)
    values = np.concatenate([image.values for image in images])
    classes = np.argmax(np.concatenate([image.labels for image in images])[:, None] == known, 1)
    weights = np.concatenate([image.weights for image in images])
    kept = np.isin(np.concatenate([image.labels for image in images]), known)
    values, classes, weights = values[kept], classes[kept], weights[kept]
    middle = np.average(values, 0, weights)
    scale = np.sqrt(np.average((values - middle) ** 2, 0, weights)) + 1e-3
    x = ((values - middle) / scale).astype(np.float32)
    y = np.eye(len(known), dtype=np.float32)[classes]
    total = np.bincount(classes, weights, len(known))
    w = (weights * total[classes] ** (_BALANCE - 1)).astype(np.float32)
    w /= w.sum()
    fitted = _logistic(x, y, w)
    directions = fitted[:-1] / scale[:, None]
    return ClassModel(
        tuple(labels), directions.astype(np.float32), (fitted[-1] - middle @ directions).astype(np.float32)
    )


def _logistic(x: FloatArray, y: FloatArray, w: FloatArray) -> FloatArray:
    """Return (D + 1, C), bias last: least penalised cross-entropy of x (N, D), one-hot y (N, C), weights w (N,)."""
    x = np.hstack([x, np.ones((len(x), 1), np.float32)])
    shape = (x.shape[1], y.shape[1])

    def loss(flat: FloatArray) -> tuple[float, FloatArray]:
        beta = flat.reshape(shape).astype(np.float32)
        scores = x @ beta
        scores -= scores.max(1, keepdims=True)
        log_shares = scores - np.log(np.exp(scores).sum(1, keepdims=True))
        penalised = beta.copy()
        penalised[-1] = 0
        value = -float((w[:, None] * y * log_shares).sum()) + _PENALTY / 2 * float((penalised**2).sum())
        gradient = x.T @ (w[:, None] * (np.exp(log_shares) - y)) + _PENALTY * penalised
        return value, gradient.astype(np.float64).ravel()

    # Imported late, because it is slow and a service must listen before it.
    from scipy.optimize import minimize

    best = minimize(loss, np.zeros(shape).ravel(), jac=True, method="L-BFGS-B", options={"maxiter": _ITERATIONS})
    return np.asarray(best.x.reshape(shape), np.float32)
