"""The classes of the memory: the probability of each class for the features of a cell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sam_backend.arrays import FloatArray
from sam_backend.memory.features import BACKGROUND, FeatureVectors, median_of_cells
from sam_backend.memory.logistic import fit_logistic
from sam_backend.segmenters import DenseFeatures

_RIDGE = 0.005
_ITERATIONS = 60
_BALANCE = 0.75
"""A class counts by its number of cells to this power, so that the background does not drown a rare one."""


@dataclass(frozen=True, eq=False)
class ClassModel:
    """A linear model of classes.

    Attributes
    ----------
    labels : the K classes, without the background.
    weights : float32 (D, 1 + K), the background first.
    bias : float32 (1 + K,).
    """

    labels: tuple[str, ...]
    weights: FloatArray
    bias: FloatArray

    def probabilities(self, features: DenseFeatures) -> FloatArray:
        """Return the probabilities (n, n, 1 + K) of background and classes in the cells of an image.

        Parameters
        ----------
        features : DenseFeatures of the model, (n, n, C); D is 2 C, as in `cell_features`.
        """
        # Imported late, because it is slow and a service must listen before it.
        from scipy.special import softmax

        # The same as for `cell_features`, without an array of twice the size.
        of_values, of_differences = np.split(self.weights, 2)
        bias = self.bias - median_of_cells(features) @ of_differences
        shares: FloatArray = softmax(features.values @ (of_values + of_differences) + bias, axis=-1)
        return shares


def labels_of(images: Sequence[FeatureVectors]) -> list[str]:
    """Return the classes that the vectors of images show, sorted, without the background."""
    return sorted({str(label) for vectors in images for label in np.unique(vectors.labels)} - {BACKGROUND})


def fit_classes(images: Sequence[FeatureVectors], labels: Sequence[str]) -> ClassModel | None:
    """Fit a multinomial logistic regression to the vectors of images, each weighted by the cells that it represents.

    The features are standardised, and a ridge penalty limits what few examples can say.

    Parameters
    ----------
    images : vectors of each image.
    labels : the classes; vectors of other labels are left out.

    Returns
    -------
    ClassModel or None
        None if there are no classes, or if no image shows background.
    """
    if not labels or not any((vectors.labels == BACKGROUND).any() for vectors in images):
        return None
    known = np.array([BACKGROUND, *labels], np.str_)
    names = np.concatenate([vectors.labels for vectors in images])
    used = np.isin(names, known)
    values = np.concatenate([vectors.values for vectors in images])[used]
    weights = np.concatenate([vectors.weights for vectors in images])[used]
    classes = np.argmax(names[used][:, None] == known, 1)
    middle = np.average(values, 0, weights)
    scale = np.sqrt(np.average((values - middle) ** 2, 0, weights)) + 1e-3
    x = np.hstack([(values - middle) / scale, np.ones((len(values), 1))]).astype(np.float32)
    cells = np.bincount(classes, weights, len(known))
    balanced = (weights * cells[classes] ** (_BALANCE - 1)).astype(np.float32)
    balanced /= balanced.sum()
    # The bias, in the last row, is not penalised.
    ridge = np.full((x.shape[1], 1), _RIDGE, np.float32)
    ridge[-1] = 0
    shares = np.eye(len(known), dtype=np.float32)[classes]
    fitted = fit_logistic(x, shares, balanced, np.zeros((x.shape[1], len(known))), ridge, _ITERATIONS)
    directions = fitted[:-1] / scale[:, None]
    bias = fitted[-1] - middle @ directions
    return ClassModel(tuple(labels), directions.astype(np.float32), bias.astype(np.float32))
