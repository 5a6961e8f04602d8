"""Accepted masks -> a few feature vectors of what is in them, what is near them and what else the image shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from sam_backend.arrays import BoolArray, FloatArray
from sam_backend.segmenters import DenseFeatures, Embedding, Segmenter

BACKGROUND = ""
"""Stands for what lies in no accepted mask where a label is expected."""

PER_MASK, PER_BACKGROUND = 32, 128
"""Vectors kept of the masks of one label in an image, and of each of near and far background."""

_NEAR = 6
"""Cells around a mask that are near background."""

_SAMPLED = 2500
_ROUNDS = 8


@dataclass(frozen=True, eq=False)
class AcceptedMask:
    """A mask that somebody accepted.

    Attributes
    ----------
    mask : (H, W) bool, of the image's size if it is of any use.
    label : its class.
    """

    mask: BoolArray
    label: str


@dataclass(frozen=True, eq=False)
class Vectors:
    """Feature vectors of one image, each standing for the places that are like it.

    Attributes
    ----------
    values : (N, D) float32.
    labels : (N,) str, `BACKGROUND` where no mask is.
    weights : (N,) float32, how many cells of the feature map a vector stands for.
    """

    values: FloatArray
    labels: NDArray[np.str_]
    weights: FloatArray


def place_features(segmenter: Segmenter, embedding: Embedding) -> DenseFeatures:
    """Return the features (n, n, 2 C) of an image's places: the model's own, and how they differ from their median.

    A defect is what differs from the surface it lies on, and surfaces differ more than defects do.
    """
    dense = segmenter.features(embedding)
    # A regular sample: the median of all would take longer than all the rest.
    usual = np.median(dense.inside[::4, ::4].reshape(-1, dense.values.shape[2]), 0)
    return DenseFeatures(np.concatenate([dense.values, dense.values - usual], 2), dense.shown)


def pool(segmenter: Segmenter, embedding: Embedding, masks: Sequence[AcceptedMask]) -> Vectors:
    """Return what an image with all its accepted masks teaches; without masks, that all of it is background.

    The cells of the masks of each label, those near a mask and those far from any are each summarised by k-means. The
    same image and masks give the same vectors.
    """
    features = place_features(segmenter, embedding)
    inside = features.inside
    cells = _cells(masks, embedding.size, features)
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
            centres, sizes = _summary(inside[part] / spread, count)
            values.append(centres * spread)
            weights.append(sizes)
            labels += [label] * len(centres)
    return Vectors(np.concatenate(values), np.array(labels, np.str_), np.concatenate(weights))


def _cells(masks: Sequence[AcceptedMask], size: tuple[int, int], features: DenseFeatures) -> dict[str, BoolArray]:
    """Return which cells (rows, columns) each label's masks cover by half; of a small mask, the one it fills most."""
    rows, columns = features.shown
    found: dict[str, BoolArray] = {}
    for accepted in masks:
        share = cv2.resize(accepted.mask.astype(np.float32), (columns, rows), interpolation=cv2.INTER_AREA)
        part = share >= min(0.5, float(share.max()))
        found[accepted.label] = found.get(accepted.label, np.zeros((rows, columns), bool)) | part
    return found


def _summary(values: FloatArray, count: int) -> tuple[FloatArray, FloatArray]:
    """Return up to `count` centres of values (N, D), by Lloyd's k-means, and how many values each stands for."""
    random = np.random.default_rng(0)
    sample = values if len(values) <= _SAMPLED else values[random.choice(len(values), _SAMPLED, replace=False)]
    if len(sample) <= count:
        return sample, np.full(len(sample), len(values) / len(sample), np.float32)
    centres = sample[random.choice(len(sample), count, replace=False)]
    for _ in range(_ROUNDS):
        distance = (centres**2).sum(1) - 2 * sample @ centres.T
        members = np.eye(len(centres), dtype=np.float32)[distance.argmin(1)]
        sizes = members.sum(0)
        # A centre that nothing is nearest to has nothing to stand for.
        centres, sizes = (members.T @ sample)[sizes > 0] / sizes[sizes > 0, None], sizes[sizes > 0]
    return centres, sizes * (len(values) / len(sample))
