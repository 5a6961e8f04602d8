"""What a proposer's scores mean, and whether corrections make its masks better, on images that it never learnt."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from sam_backend.arrays import BoolArray
from sam_backend.masks import mask_iou
from sam_backend.memory.logistic import fit_logistic
from sam_backend.proposer.manifest import Manifest
from sam_backend.proposer.regions import DEFAULT_WEIGHTS
from sam_backend.proposer.trained import TrainedProposer, mask_in, polished
from sam_backend.samples import Object, Sample
from sam_backend.segmenters import Segmenter

CORRECT_IOU = 0.5
"""IoU with an accepted mask of the same label from which a proposal is correct."""

_MIDDLE = 0.5
"""Odds in the middle of all regions: there, slope and bias depend on each other least."""

_RIDGE = (20.0, 4.0)
"""How strongly the slope, and the bias at the middle, are drawn to the default: projects differ in the bias."""

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
    odds: list[float] = []
    raw, better = list[float](), list[float]()
    for sample in samples:
        regions = proposer.regions(sample.image)[:_REGIONS]
        odds += [region.odds for region in regions]
        labels = [proposer.manifest.labels[region.index] for region in regions]
        height, width = sample.image.shape[:2]
        masks = [mask_in(region, (height, width)) for region in regions]
        raw += matched_ious(masks, labels, sample.objects)
        corrected = polished(segmenter, segmenter.encode(sample.image), masks) if masks else []
        better += matched_ious(corrected, labels, sample.objects)
    if not odds:
        return proposer.manifest
    is_polished = float(np.mean(better) - np.mean(raw)) >= _LEAST_GAIN
    correct = np.array(better if is_polished else raw) >= CORRECT_IOU
    return replace(proposer.manifest, is_polished=is_polished, score_weights=fit_score(odds, correct))


def fit_score(odds: Sequence[float], correct: Sequence[bool] | BoolArray) -> tuple[float, float]:
    """Return slope and bias of the score, fitted to the odds of regions that are correct or not; see `score_of`.

    Of few regions they stay close to the default.
    """
    slope, bias = DEFAULT_WEIGHTS
    x = np.column_stack([np.asarray(odds, np.float64) - _MIDDLE, np.ones(len(odds))])
    prior = np.array([[slope], [bias + slope * _MIDDLE]])
    shares = np.eye(2)[np.asarray(correct, int)]
    fitted = fit_logistic(x, shares, np.ones(len(x)), prior, np.array(_RIDGE)[:, None])[:, 0]
    return float(fitted[0]), float(fitted[1] - fitted[0] * _MIDDLE)


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
