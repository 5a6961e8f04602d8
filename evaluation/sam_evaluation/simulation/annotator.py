"""The simulated annotator: what it does with the proposals and objects of an image, and the clicks that this costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import cv2
import numpy as np

from sam_backend.arrays import BoolArray, FloatArray
from sam_backend.masks import deepest_point
from sam_backend.memory.grid import on_grid
from sam_backend.memory.proposals import Proposal
from sam_backend.memory.score_calibration import CORRECT_IOU
from sam_backend.samples import Object
from sam_backend.segmenters import Embedding, Prompt, Segmenter
from sam_backend.segmenters.protocol import POSITIVE, Window
from sam_evaluation import metrics
from sam_evaluation.protocols.simulated_clicks import Point, correction

_PROPOSAL_LOGIT = 8.0
"""Logit inside a proposal that is passed to the segmenter as a prompt; outside it is the negative."""


class Fate(StrEnum):
    """What became of a proposal, or how an object got its mask."""

    ACCEPTED = "accepted"
    CORRECTED = "corrected"
    DELETED = "deleted"
    OUTLINED = "outlined"


@dataclass(frozen=True)
class Habits:
    """How the annotator works.

    Attributes
    ----------
    accept : IoU with the object, in [0, 1], from which a mask is accepted.
    most_clicks : number of clicks tried on an object; after them the rest is painted by hand.
    painting : number of clicks that painting counts as.
    redraw : whether a proposal that is not good enough is deleted instead of corrected.
    """

    accept: float = 0.9
    most_clicks: int = 10
    painting: int = 10
    redraw: bool = False


@dataclass(frozen=True, eq=False)
class Action:
    """The work on one object, or on one proposal that has no object.

    Attributes
    ----------
    fate : Fate of the proposal; `OUTLINED` for an object without a proposal.
    label : label of the object, or of the deleted proposal.
    clicks : number of clicks.
    painted : whether the rest was painted by hand.
    relabelled : whether the proposal had another label.
    iou : IoU of the proposal with the object; 0 without a proposal.
    score : score of the proposal in [0, 1]; None without a proposal.
    reached : IoU with the object after each click that outlined or corrected it.
    mask : the accepted mask, bool (H, W); None if the action accepts nothing.
    """

    fate: Fate
    label: str
    clicks: int
    painted: bool = False
    relabelled: bool = False
    iou: float = 0.0
    score: float | None = None
    reached: tuple[float, ...] = ()
    mask: BoolArray | None = None


def annotate(
    segmenter: Segmenter,
    embedding: Embedding,
    objects: Sequence[Object],
    proposals: Sequence[Proposal],
    habits: Habits,
) -> list[Action]:
    """Label an image by the rules of `docs/decisions/016-counting-clicks.md`.

    Parameters
    ----------
    segmenter : Segmenter that answers the clicks.
    embedding : Embedding of the image, made by the segmenter.
    objects : the objects to label.
    proposals : the pre-annotation; may be empty.
    habits : Habits of the annotator.
    """
    truths = [target.mask for target in objects]
    ious = metrics.pairwise_iou([proposal.mask for proposal in proposals], truths)
    partners = _partners(proposals, objects, ious)
    actions = []
    for index, proposal in enumerate(proposals):
        if index not in partners:
            best = float(ious[index].max()) if len(truths) else 0.0
            actions.append(Action(Fate.DELETED, proposal.label, 1, iou=best, score=proposal.score))
    proposal_of = {number: index for index, number in partners.items()}
    for number, target in enumerate(objects):
        label, partner = target.label, proposal_of.get(number)
        if partner is None:
            actions.append(_click(segmenter, embedding, target, habits))
            continue
        proposal, iou = proposals[partner], float(ious[partner, number])
        relabelled = proposal.label != label
        if iou >= habits.accept:
            accepted = Action(Fate.ACCEPTED, label, 1 + relabelled, mask=np.asarray(proposal.mask))
            actions.append(replace(accepted, relabelled=relabelled, iou=iou, score=proposal.score))
        elif habits.redraw:
            actions.append(Action(Fate.DELETED, proposal.label, 1, iou=iou, score=proposal.score))
            actions.append(replace(_click(segmenter, embedding, target, habits), iou=iou))
        else:
            corrected = _click(segmenter, embedding, target, habits, proposal.mask)
            corrected = replace(corrected, fate=Fate.CORRECTED, clicks=corrected.clicks + relabelled)
            actions.append(replace(corrected, relabelled=relabelled, iou=iou, score=proposal.score))
    return actions


def _partners(proposals: Sequence[Proposal], objects: Sequence[Object], ious: metrics.Floats) -> dict[int, int]:
    """Return the object of each proposal that has one; pairs with the same label are matched first."""
    same = np.array([[proposal.label == target.label for target in objects] for proposal in proposals], bool)
    same = same.reshape(ious.shape)
    partners: dict[int, int] = {}
    free = ious.copy()
    for allowed in (same, ~same):
        pairs = metrics.match(np.where(allowed, free, 0.0), CORRECT_IOU)
        partners |= zip(pairs.pred.tolist(), pairs.gt.tolist(), strict=True)
        free[pairs.pred] = 0.0
        free[:, pairs.gt] = 0.0
    return partners


def _click(
    segmenter: Segmenter, embedding: Embedding, target: Object, habits: Habits, proposal: BoolArray | None = None
) -> Action:
    """ClassOutline an object by clicks, or correct a proposal by clicks, and paint what they do not reach.

    The logits of each answer are part of the next prompt, as when the model serves. A proposal is part of the first
    prompt, and a click in its middle, which the annotator does not make, is part of all prompts. Without that click,
    the segmenter would take a click on an error of the proposal for a click on the object.
    """
    truth = target.mask
    mask, points, labels = np.zeros(truth.shape, bool), list[Point](), list[int]()
    logits: FloatArray | None = None
    window: Window | None = None
    if proposal is not None:
        mask, points, labels, logits = proposal, [deepest_point(proposal)], [POSITIVE], _as_logits(proposal)
    reached: list[float] = []
    while len(reached) < habits.most_clicks:
        click = correction(mask, truth, points)
        if click is None:
            break
        points.append(click[0])
        labels.append(click[1])
        prompt = Prompt(np.array(points, np.float32), np.array(labels), logits=logits, window=window)
        answer = segmenter.decode(embedding, [prompt])[0]
        mask, logits, window = answer.masks[answer.best], answer.logits[answer.best], answer.window
        reached.append(metrics.iou(mask, truth))
        if reached[-1] >= habits.accept:
            return Action(Fate.OUTLINED, target.label, len(reached), reached=tuple(reached), mask=mask)
    clicks = len(reached) + habits.painting
    return Action(Fate.OUTLINED, target.label, clicks, painted=True, reached=tuple(reached), mask=truth)


def _as_logits(mask: BoolArray) -> FloatArray:
    """Return logits like those of a model that answers with the mask (H, W)."""
    smooth: FloatArray = cv2.GaussianBlur(on_grid(mask).astype(np.float32), (0, 0), 1.0)
    return 2 * _PROPOSAL_LOGIT * smooth - _PROPOSAL_LOGIT
