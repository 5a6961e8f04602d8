"""What a proposer's scores mean, and whether corrections make its masks better, on images that it never learnt."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from sam_backend.arrays import BoolArray, FloatArray
from sam_backend.masks import mask_iou
from sam_backend.memory.logistic import fit_logistic
from sam_backend.proposer.manifest import Manifest
from sam_backend.proposer.trained import TrainedProposer, mask_in, polished
from sam_backend.samples import Object, Sample
from sam_backend.segmenters import Segmenter

CORRECT_IOU = 0.5
"""IoU with an accepted mask of the same label from which a proposal is correct."""

_RIDGE = 2.0
"""How strongly a fit is drawn to the default: the loss of a squared distance of two, in regions."""

_LEAST_GAIN = 0.005
"""The mean gain of IoU from which correcting each mask is worth its time."""

_REGIONS = 20
"""Regions of an image that are measured."""


def calibrate(proposer: TrainedProposer, samples: Iterable[Sample], segmenter: Segmenter) -> Manifest:
    """Return the manifest with scores fitted to held-out images, and masks polished where that makes them better there.

    Parameters
    ----------
    proposer : TrainedProposer.
    samples : images that it never learnt, with all their objects.
    segmenter : Segmenter that polishes masks: it corrects each without a click.
    """
    features: list[FloatArray] = []
    raw, better = list[float](), list[float]()
    for sample in samples:
        regions = proposer.regions(sample.image)[:_REGIONS]
        features += [region.score_features for region in regions]
        labels = [proposer.manifest.labels[region.index] for region in regions]
        height, width = sample.image.shape[:2]
        masks = [mask_in(region, (height, width)) for region in regions]
        raw += matched_ious(masks, labels, sample.objects)
        corrected = polished(segmenter, segmenter.encode(sample.image), masks) if masks else []
        better += matched_ious(corrected, labels, sample.objects)
    if not features:
        return proposer.manifest
    is_polished = float(np.mean(better) - np.mean(raw)) >= _LEAST_GAIN
    x = np.hstack([np.stack(features), np.ones((len(features), 1))]).astype(np.float64)
    correct = np.array(better if is_polished else raw) >= CORRECT_IOU
    prior = np.array(Manifest.score_weights)[:, None]
    fitted = fit_logistic(x, np.eye(2)[correct.astype(int)], np.ones(len(x)), prior, _RIDGE)[:, 0].tolist()
    return replace(proposer.manifest, is_polished=is_polished, score_weights=(fitted[0], fitted[1], fitted[2]))


def matched_ious(masks: Sequence[BoolArray], labels: Sequence[str], objects: Sequence[Object]) -> list[float]:
    """Return the IoU of each mask with the object of its label that it shows; 0 where another mask shows it better."""
    ious = np.zeros((len(masks), len(objects)))
    truths = [target.mask for target in objects]
    for row, (mask, label) in enumerate(zip(masks, labels, strict=True)):
        for column, target in enumerate(objects):
            if target.label == label:
                ious[row, column] = mask_iou(mask, truths[column])
    kept = [0.0] * len(masks)
    while ious.size and ious.max() > 0:
        row, column = divmod(int(ious.argmax()), ious.shape[1])
        kept[row] = float(ious[row, column])
        ious[row], ious[:, column] = 0, 0
    return kept
