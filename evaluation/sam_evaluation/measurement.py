"""Objects and answers -> rows: all metrics of a mask, by the names of their columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.random import Generator

from sam_backend.arrays import BoolArray
from sam_backend.samples import Cropped, Object
from sam_backend.segmenters import Embedding, Segmenter
from sam_backend.segmenters.automatic import propose_masks
from sam_evaluation import metrics
from sam_evaluation.coco_rle import encode_mask
from sam_evaluation.protocols.concept_protocols import FoundClass
from sam_evaluation.protocols.named_protocols import Protocol

ResultRow = dict[str, Any]

TOLERANCES = (1, 2, 3, 5)
"""Tolerances in pixels at which boundary F is measured, in addition to the DAVIS tolerance."""

RECALLS = (0.1, 0.5, 0.75)
"""Values of IoU from which an object counts as found without a prompt."""

LIMITS = (10, 100, 1000)
"""Numbers of proposals per image that count for average recall."""

THIN = 4.0
"""Ratio of length to width from which an object counts as thin, so that both are measured."""


@dataclass(frozen=True, eq=False)
class MeasuredObject:
    """An object of a sample, with the measurements that do not depend on a prediction.

    Attributes
    ----------
    index : int, the index of the object in its sample.
    object : Object.
    thin : (length, width) in pixels if the object is at least `THIN` times as long as wide, else None.
    """

    index: int
    object: Object
    thin: tuple[float, float] | None

    @classmethod
    def of(cls, index: int, target: Object) -> MeasuredObject:
        """Measure an object."""
        length = metrics.length(target.mask)
        width = target.cropped.area / length
        return cls(index, target, (length, width) if length >= THIN * width else None)

    def row(self) -> ResultRow:
        """Return the columns that every row about the object has."""
        height, width = self.object.cropped.size
        return {
            "object": self.index,
            "annotator": self.object.annotator,
            "label": self.object.label,
            "height": height,
            "width": width,
            "area": self.object.cropped.area,
        }


def measure(pred: BoolArray, gt: BoolArray, thin: tuple[float, float] | None = None) -> ResultRow:
    """Return all metrics of a predicted mask.

    Parameters
    ----------
    pred, gt : bool (H, W), the predicted mask and the mask of the object.
    thin : `MeasuredObject.thin` of the object.

    Returns
    -------
    dict
        Values by column. Distances are in pixels; a metric without a value is NaN.
    """
    pair = metrics.Pair.of(pred, gt)
    hd95, assd = metrics.hd95_assd_of(pair)
    davis, *pixels = metrics.boundary_fs_of(pair, [0.008, *TOLERANCES])
    row: ResultRow = {
        "iou": metrics.iou_of(pair),
        "dice": metrics.dice_of(pair),
        "boundary_f": davis,
        **{f"boundary_f_{tolerance}px": value for tolerance, value in zip(TOLERANCES, pixels, strict=True)},
        "boundary_iou": metrics.boundary_iou_of(pair),
        "hd95": hd95,
        "assd": assd,
        "area_error": metrics.area_error_of(pair),
        "length_error": float("nan"),
        "width_error": float("nan"),
    }
    if thin:
        length = metrics.length(pred)
        row["length_error"] = length / thin[0] - 1
        row["width_error"] = (np.count_nonzero(pred) / length if length else 0.0) / thin[1] - 1
    return row


def prompted_rows(
    protocol: Protocol, segmenter: Segmenter, embedding: Embedding, targets: Sequence[MeasuredObject], rng: Generator
) -> Iterator[ResultRow]:
    """Yield one row per object and click."""
    for answer in protocol.run(segmenter, embedding, [target.object for target in targets], rng):
        target = targets[answer.object]
        masks, chosen = answer.candidates.masks, answer.chosen
        gt = target.object.mask
        measured = measure(masks[chosen], gt, target.thin)
        others = [metrics.iou(mask, gt) for index, mask in enumerate(masks) if index != chosen]
        yield {
            **target.row(),
            "protocol": protocol.name,
            "click": answer.click,
            **measured,
            "iou_oracle": max([measured["iou"], *others]),
            "predicted_iou": float(answer.candidates.predicted_iou[chosen]),
            "rle": encode_mask(masks[chosen]),
        }


@dataclass(frozen=True, eq=False)
class Proposed:
    """Masks that were found without a prompt.

    Attributes
    ----------
    masks : P masks.
    scores : (P,) confidence; a higher score is a surer mask.
    predicted_iou : (P,) predicted IoU; NaN where the model predicts none.
    labels : tuple of P str, the classes that the masks were found for; None if they were found for none.
    """

    masks: Sequence[Cropped]
    scores: metrics.Floats
    predicted_iou: metrics.Floats
    labels: tuple[str, ...] | None = None

    @classmethod
    def of_classes(cls, found: Sequence[FoundClass]) -> Proposed:
        """Return what was found of several classes; the score of an instance is no predicted IoU."""
        masks = [mask for one in found for mask in one.masks]
        scores = np.array([score for one in found for score in one.scores], np.float64)
        labels = tuple(one.label for one in found for _ in one.masks)
        return cls(masks, scores, np.full(len(masks), np.nan), labels)


def propose(segmenter: Segmenter, embedding: Embedding) -> Proposed:
    """Return the masks that a segmenter proposes for a grid of clicks."""
    proposals = propose_masks(segmenter, embedding, limit=max(LIMITS))
    scores = np.array([proposal.predicted_iou for proposal in proposals])
    return Proposed([proposal.cropped for proposal in proposals], scores, scores)


def unprompted_rows(
    protocol: str, proposed: Proposed, targets: Sequence[MeasuredObject], size: tuple[int, int]
) -> tuple[list[ResultRow], ResultRow]:
    """Return one row per object, and the row of the image, from masks that were found without a prompt.

    Objects and proposals, of the same class where proposals have one, are paired one to one, at an IoU of at least
    `RECALLS[0]`. The mask of an object is that of
    its proposal; without a proposal it is empty. `iou_oracle` is the IoU of the best proposal, paired or not.

    Parameters
    ----------
    protocol : str, its name.
    proposed : Proposed, the masks of the image.
    targets : sequence of MeasuredObject, the objects of the image.
    size : (H, W) of the image.
    """
    masks = proposed.masks
    truth = [target.object.cropped for target in targets]
    ious = metrics.pairwise_iou((proposal.mask for proposal in masks), (target.mask for target in truth))
    if proposed.labels is not None:
        classes = [target.object.label for target in targets]
        ious = ious * (np.array(proposed.labels, object)[:, None] == np.array(classes, object))
    rows = []
    pairs = metrics.match(ious, RECALLS[0])
    partner = dict(zip(pairs.gt.tolist(), pairs.pred.tolist(), strict=True))
    for index, target in enumerate(targets):
        proposal = partner.get(index)
        mask = np.zeros(size, bool) if proposal is None else masks[proposal].mask
        rows.append(
            {
                **target.row(),
                "protocol": protocol,
                "click": 0,
                **measure(mask, target.object.mask, target.thin),
                "iou_oracle": float(ious[:, index].max()) if len(masks) else 0.0,
                "predicted_iou": float("nan") if proposal is None else float(proposed.predicted_iou[proposal]),
                "rle": encode_mask(mask),
            }
        )
    return rows, {"protocol": protocol, **_image_row(masks, truth, ious, proposed.scores, size)}


def _image_row(
    proposals: Sequence[Cropped],
    truth: Sequence[Cropped],
    ious: metrics.Floats,
    scores: metrics.Floats,
    size: tuple[int, int],
) -> ResultRow:
    row: ResultRow = {"objects": len(truth), "proposals": len(proposals)}
    for threshold in RECALLS:
        row[f"matched_{threshold:g}"] = len(metrics.match(ious, threshold).pred)
    for limit in LIMITS:
        row[f"average_recall_{limit}"] = metrics.average_recall([ious], [scores], limit)
    pixels, true = np.zeros(size, bool), np.zeros(size, bool)
    for union, parts in ((pixels, proposals), (true, truth)):
        for mask in parts:
            union[mask.place] |= mask.part
    row["region_overlap"] = metrics.region_overlap(pixels, true)
    row["pixels_both"] = int(np.count_nonzero(pixels & true))
    row["pixels_either"] = int(np.count_nonzero(pixels | true))
    return row
