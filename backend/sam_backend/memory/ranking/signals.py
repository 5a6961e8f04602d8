"""What can be told of an image before anybody annotates it: how unsure the memory is of it, and what it looks like."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sam_backend.arrays import FloatArray
from sam_backend.memory.calibration import Calibration
from sam_backend.memory.features import Vectors
from sam_backend.memory.proposals import GRID, Outline
from sam_backend.segmenters import Embedding, Prompt, Segmenter
from sam_backend.segmenters.windows import mask_region

_JITTER = 0.1
"""Part of a box's sides by which it is moved to see whether the answer stays."""

_SHIFTS = ((-1, -1, 1, 1), (1, 1, -1, -1), (1, -1, 1, -1))
_JITTERED_AT_MOST = 5


@dataclass(frozen=True, eq=False)
class Signals:
    """What speaks for labelling an image.

    Attributes
    ----------
    doubt : 0..1; how many of the memory's finds are expected to be judged wrongly, 1 - exp(-their number).
    instability : 0..1; 1 - IoU of the segmenter's answers to a find's box and to that box moved a little.
    disagreement : 0..1; 1 - IoU of what the segmenter alone outlines and what it and the memory do.
    look : (D,) float32, mean and spread of the image's features.
    """

    doubt: float
    instability: float
    disagreement: float
    look: FloatArray

    @property
    def uncertainty(self) -> float:
        """0..1, the mean of the three."""
        return (self.doubt + self.instability + self.disagreement) / 3


def signals_of(
    segmenter: Segmenter, embedding: Embedding, outlines: Sequence[Outline], calibration: Calibration
) -> Signals:
    """Look at an image and at what the memory outlines in it; without outlines there is nothing to be unsure of."""
    look = look_of(segmenter.features(embedding).inside)
    if not outlines:
        return Signals(0.0, 0.0, 0.0, look)
    scores = np.array([calibration.score(outline) for outline in outlines])
    # The likeliest matter most, so weak finds in the texture do not make every image look unstable.
    doubt = 1 - float(np.exp(-np.minimum(scores, 1 - scores).sum()))
    agreed = np.array([outline.evidence[3] for outline in outlines])
    disagreement = 1 - float(np.average(agreed, weights=scores))
    best = [outlines[index] for index in np.argsort(-scores)[:_JITTERED_AT_MOST]]
    return Signals(doubt, _instability(segmenter, embedding, best), disagreement, look)


def look_of(features: FloatArray) -> FloatArray:
    """Return mean and spread (2 C,) of the features (h, w, C) of an image."""
    flat = features.reshape(-1, features.shape[-1])
    look: FloatArray = np.concatenate([flat.mean(0), flat.std(0)]).astype(np.float32)
    return look


def look_of_example(vectors: Vectors) -> FloatArray:
    """Return what `look_of` would of the image that an example was made of, as far as its vectors tell."""
    # The second half of a place's features are the first half's differences from the image's median.
    values = vectors.values[:, : vectors.values.shape[1] // 2]
    mean = np.average(values, 0, vectors.weights)
    spread = np.sqrt(np.average((values - mean) ** 2, 0, vectors.weights))
    look: FloatArray = np.concatenate([mean, spread]).astype(np.float32)
    return look


def _instability(segmenter: Segmenter, embedding: Embedding, outlines: Sequence[Outline]) -> float:
    """Return 1 - the mean IoU of the masks for each outline's box and for that box moved a little."""
    height, width = embedding.size
    limits = np.array((width, height, width, height), np.float32)
    boxes = []
    for outline in outlines:
        region = mask_region(outline.part)
        assert region is not None
        box = np.minimum(region * (max(height, width) / GRID), limits)
        sides = np.tile(box[2:] - box[:2], 2)
        boxes += [box, *(np.clip(box + _JITTER * sides * np.array(shift), 0, limits) for shift in _SHIFTS)]
    prompts = [Prompt(box=box, window=(0, 0, width, height)) for box in boxes]
    answers = segmenter.decode(embedding, prompts, multimask=False)
    parts = [answer.logits[answer.best] > 0 for answer in answers]
    each = 1 + len(_SHIFTS)
    ious = [
        (parts[start] & parts[start + moved]).sum() / max((parts[start] | parts[start + moved]).sum(), 1)
        for start in range(0, len(parts), each)
        for moved in range(1, each)
    ]
    return 1 - float(np.mean(ious))
