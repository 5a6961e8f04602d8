"""Signals of an image before it is labelled: how uncertain the memory is about it, and a descriptor of the image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sam_backend.arrays import FloatArray
from sam_backend.masks import mask_iou
from sam_backend.memory.class_model import ClassModel
from sam_backend.memory.class_outlines import ClassOutline, class_map
from sam_backend.memory.features import FeatureVectors
from sam_backend.memory.grid import GRID
from sam_backend.memory.score_calibration import ScoreCalibration
from sam_backend.segmenters import Embedding, Prompt, Segmenter
from sam_backend.segmenters.protocol import POSITIVE
from sam_backend.segmenters.windows import mask_region

_JITTER = 0.1
"""Shift of a box, as a share of its sides, that shows whether the segmenter's answer is stable."""

_SHIFTS = ((-1, -1, 1, 1), (1, 1, -1, -1), (1, -1, 1, -1))
_MAX_JITTERED = 5
_CLICKS_PER_SIDE = 4

_FAINT = 0.1
"""Score of the faintest outline that is shown; a place that is too faint for an outline counts at most as much."""


@dataclass(frozen=True, eq=False)
class Signals:
    """What makes an image worth labelling.

    Attributes
    ----------
    doubt : in [0, 1], 1 - exp(-the expected number of outlines that the memory judges wrongly).
    instability : in [0, 1], 1 - mean IoU of the segmenter's answers to an outline's box and to that box shifted;
        without examples, 1 - mean IoU that the segmenter predicts for clicks all over the image.
    disagreement : in [0, 1], 1 - mean IoU of the segmenter's own masks with the outlines.
    descriptor : float32 (D,), mean and standard deviation of the image's features.
    """

    doubt: float
    instability: float
    disagreement: float
    descriptor: FloatArray

    @property
    def uncertainty(self) -> float:
        """Mean of doubt, instability and disagreement, in [0, 1]."""
        return (self.doubt + self.instability + self.disagreement) / 3


def compute_signals(
    segmenter: Segmenter,
    embedding: Embedding,
    classes: ClassModel | None,
    outlines: Sequence[ClassOutline],
    calibration: ScoreCalibration,
) -> Signals:
    """Return the signals of an image.

    Without outlines, the doubt is about the place that resembles a class most. Without examples, the instability is
    that of the segmenter alone. So the uncertainty is never 0.

    Parameters
    ----------
    segmenter : Segmenter that made the embedding.
    embedding : Embedding of the image.
    classes : ClassModel of the memory; None without examples.
    outlines : the memory's outlines in the image.
    calibration : ScoreCalibration of the memory.
    """
    descriptor = image_descriptor(segmenter.features(embedding).inside)
    if classes is None:
        return Signals(0.0, _own_doubt(segmenter, embedding), 0.0, descriptor)
    if not outlines:
        return Signals(_doubt_of_nothing(segmenter, embedding, classes), 0.0, 0.0, descriptor)
    scores = np.array([calibration.score(outline) for outline in outlines])
    # Weighted by score, so that weak outlines in the texture do not make every image look unstable.
    doubt = 1 - float(np.exp(-np.minimum(scores, 1 - scores).sum()))
    agreement = np.array([outline.score_features[3] for outline in outlines])
    disagreement = 1 - float(np.average(agreement, weights=scores))
    best = [outlines[index] for index in np.argsort(-scores)[:_MAX_JITTERED]]
    return Signals(doubt, _instability(segmenter, embedding, best), disagreement, descriptor)


def image_descriptor(features: FloatArray) -> FloatArray:
    """Return mean and standard deviation (2 C,) of the features (h, w, C) of an image."""
    flat = features.reshape(-1, features.shape[-1])
    descriptor: FloatArray = np.concatenate([flat.mean(0), flat.std(0)]).astype(np.float32)
    return descriptor


def example_descriptor(vectors: FeatureVectors) -> FloatArray:
    """Return an estimate of the `image_descriptor` of an example's image, from its vectors."""
    # The second half of a cell's features are the differences of the first half from the median of the image.
    values = vectors.values[:, : vectors.values.shape[1] // 2]
    mean = np.average(values, 0, vectors.weights)
    spread = np.sqrt(np.average((values - mean) ** 2, 0, vectors.weights))
    descriptor: FloatArray = np.concatenate([mean, spread]).astype(np.float32)
    return descriptor


def _doubt_of_nothing(segmenter: Segmenter, embedding: Embedding, classes: ClassModel) -> float:
    """Return the doubt about an image in which the memory outlines nothing."""
    shares, (rows, columns) = class_map(segmenter, embedding, classes)
    likeliest = 1 - float(shares[:rows, :columns, 0].min())
    return 1 - float(np.exp(-_FAINT * likeliest))


def _own_doubt(segmenter: Segmenter, embedding: Embedding) -> float:
    """Return 1 - the mean IoU that the segmenter predicts for its answers to clicks all over an image."""
    height, width = embedding.size
    middles = (np.arange(_CLICKS_PER_SIDE) + 0.5) / _CLICKS_PER_SIDE
    points = np.stack(np.meshgrid(middles * width, middles * height), -1).reshape(-1, 1, 2)
    prompts = [Prompt(point, np.array([POSITIVE]), window=(0, 0, width, height)) for point in points]
    answers = segmenter.decode(embedding, prompts)
    predicted = [answer.predicted_iou[answer.best] for answer in answers]
    return 1 - float(np.clip(np.mean(predicted), 0, 1))


def _instability(segmenter: Segmenter, embedding: Embedding, outlines: Sequence[ClassOutline]) -> float:
    """Return 1 - the mean IoU of the masks for the box of each outline and for that box shifted."""
    height, width = embedding.size
    limits = np.array((width, height, width, height), np.float32)
    boxes = []
    for outline in outlines:
        region = mask_region(outline.mask)
        assert region is not None
        box = np.minimum(region * (max(height, width) / GRID), limits)
        sides = np.tile(box[2:] - box[:2], 2)
        boxes += [box, *(np.clip(box + _JITTER * sides * np.array(shift), 0, limits) for shift in _SHIFTS)]
    prompts = [Prompt(box=box, window=(0, 0, width, height)) for box in boxes]
    answers = segmenter.decode(embedding, prompts, multimask=False)
    masks = [answer.logits[answer.best] > 0 for answer in answers]
    step = 1 + len(_SHIFTS)
    ious = [
        mask_iou(masks[start], masks[start + shifted])
        for start in range(0, len(masks), step)
        for shifted in range(1, step)
    ]
    return 1 - float(np.mean(ious))
