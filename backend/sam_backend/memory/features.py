"""Accepted masks as a few feature vectors: of the masks, of what is near them, and of the rest of the image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from sam_backend.arrays import BoolArray, FloatArray
from sam_backend.segmenters import DenseFeatures, Embedding, Segmenter

BACKGROUND = ""
"""The label of everything that lies in no accepted mask."""

PER_MASK, PER_BACKGROUND = 32, 128
"""Vectors kept for all masks of one label in an image, and for each of near and far background."""

_NEAR = 6
"""Width of the near background around a mask, in cells."""

_SAMPLED = 2500
_CONVERGED = 0.01
"""Change of the mean distance to the centres, in standard deviations of one feature, below which k-means ends."""


@dataclass(frozen=True, eq=False)
class AcceptedMask:
    """A mask that an annotator accepted.

    Attributes
    ----------
    mask : bool (H, W); it can only be used if it has the size of the image.
    label : str, its class.
    is_around : bool, whether it is the inside of a rectangle or an ellipse that was drawn around the object.
    """

    mask: BoolArray
    label: str
    is_around: bool = False


@dataclass(frozen=True, eq=False)
class FeatureVectors:
    """Feature vectors of one image; each represents the cells that are like it.

    Attributes
    ----------
    values : float32 (N, D).
    labels : str (N,), `BACKGROUND` for cells without a mask.
    weights : float32 (N,), number of cells of the feature map that a vector represents.
    """

    values: FloatArray
    labels: NDArray[np.str_]
    weights: FloatArray


def cell_features(segmenter: Segmenter, embedding: Embedding) -> DenseFeatures:
    """Return the features (n, n, 2 C) of the cells of an image: the model's, and their differences from the median.

    A defect is what differs from its surface, and surfaces differ more than defects do.
    """
    dense = segmenter.features(embedding)
    return DenseFeatures(np.concatenate([dense.values, dense.values - median_of_cells(dense)], 2), dense.shown)


def median_of_cells(features: DenseFeatures) -> FloatArray:
    """Return the median (C,) of the features of an image.

    It is that of a regular sample, because the median of all cells would take longer than everything else.
    """
    median: FloatArray = np.median(features.inside[::4, ::4].reshape(-1, features.values.shape[2]), 0)
    return median


def pool(segmenter: Segmenter, embedding: Embedding, masks: Sequence[AcceptedMask]) -> FeatureVectors:
    """Summarise an image with all its accepted masks; without masks, all of it is background.

    The cells in the masks of each label, the cells near a mask and the other cells are summarised by k-means, each
    group by itself. The same image and masks give the same vectors.

    Parameters
    ----------
    segmenter : Segmenter that made the embedding.
    embedding : Embedding of the image.
    masks : AcceptedMask, all of the image's size and not empty.
    """
    features = cell_features(segmenter, embedding)
    inside = features.inside
    cells = _cells(masks, features)
    covered = np.zeros(inside.shape[:2], bool)
    groups: list[tuple[str, BoolArray, int]] = []
    for label, part in sorted(cells.items()):
        groups.append((label, part, PER_MASK))
        covered |= part
    near = cv2.dilate(covered.astype(np.uint8), np.ones((2 * _NEAR + 1,) * 2, np.uint8)) > 0
    groups += [(BACKGROUND, near & ~covered, PER_BACKGROUND), (BACKGROUND, ~near & ~covered, PER_BACKGROUND)]
    spread = inside[::4, ::4].reshape(-1, inside.shape[2]).std(0) + 1e-3
    values, labels, weights = [], [], []
    for label, part, count in groups:
        if part.any():
            centres, sizes = _summarise(inside[part] / spread, count)
            values.append(centres * spread)
            weights.append(sizes)
            labels += [label] * len(centres)
    return FeatureVectors(np.concatenate(values), np.array(labels, np.str_), np.concatenate(weights))


def _cells(masks: Sequence[AcceptedMask], features: DenseFeatures) -> dict[str, BoolArray]:
    """Return the cells, bool (rows, columns), that the masks of each label cover by half.

    A mask smaller than a cell has the cell of which it covers most.
    """
    rows, columns = features.shown
    cells: dict[str, BoolArray] = {}
    for accepted in masks:
        share = cv2.resize(accepted.mask.astype(np.float32), (columns, rows), interpolation=cv2.INTER_AREA)
        part = share >= min(0.5, float(share.max()))
        cells[accepted.label] = cells.get(accepted.label, np.zeros((rows, columns), bool)) | part
    return cells


def _summarise(values: FloatArray, count: int) -> tuple[FloatArray, FloatArray]:
    """Return up to `count` k-means centres of values (N, D), and the number of values that each represents."""
    # Imported late, because it is slow and a service must listen before it.
    from scipy.cluster.vq import kmeans, vq

    random = np.random.default_rng(0)
    sample = values if len(values) <= _SAMPLED else values[random.choice(len(values), _SAMPLED, replace=False)]
    if len(sample) <= count:
        return sample, np.full(len(sample), len(values) / len(sample), np.float32)
    start = sample[random.choice(len(sample), count, replace=False)]
    # `kmeans` drops a centre that has no values; `kmeans2` would keep it, with a warning.
    centres, _ = kmeans(sample, start, thresh=_CONVERGED)
    sizes = np.bincount(vq(sample, centres)[0], minlength=len(centres)).astype(np.float32)
    return centres[sizes > 0], sizes[sizes > 0] * (len(values) / len(sample))
