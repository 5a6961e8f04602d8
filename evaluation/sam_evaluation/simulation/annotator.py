"""The simulated annotator: what it does to the proposals and the objects of an image, and what that costs in clicks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import cv2
import numpy as np

from sam_backend.arrays import BoolArray, FloatArray
from sam_backend.masks import deepest_point
from sam_backend.memory.calibration import RIGHT, on_grid
from sam_backend.memory.memory import Find
from sam_backend.samples import Object
from sam_backend.segmenters import Embedding, Prompt, Segmenter
from sam_backend.segmenters.protocol import POSITIVE, Window
from sam_evaluation import metrics
from sam_evaluation.protocols.simulated_clicks import Point, correction

_SURE = 8.0
"""Logits of a proposal that is fed back, inside; outside as much below zero."""


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
    accept : IoU with the object from which a mask is good enough.
    most_clicks : that are tried on an object; then the rest is painted by hand.
    painting : clicks that painting counts as.
    redraw : whether a proposal that is not good enough is deleted, rather than corrected.
    """

    accept: float = 0.9
    most_clicks: int = 10
    painting: int = 10
    redraw: bool = False


@dataclass(frozen=True, eq=False)
class Action:
    """What was done about one object, or about one proposal that is no object.

    Attributes
    ----------
    fate : of the proposal, or `OUTLINED` of an object without one.
    label : of the object, or of the proposal that was deleted.
    clicks : what it cost.
    painted : whether the rest was painted by hand.
    relabelled : whether the proposal had another label.
    iou : of the proposal with the object; 0 where there was none.
    score : of the proposal; None where there was none.
    reached : IoU with the object after each click that outlined or corrected it.
    mask : what was accepted (H, W); None where nothing was.
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
    segmenter: Segmenter, embedding: Embedding, objects: Sequence[Object], finds: Sequence[Find], habits: Habits
) -> list[Action]:
    """Label an image as `docs/decisions/016-counting-clicks.md` has it.

    Parameters
    ----------
    segmenter : answers the clicks, as it would when it serves.
    embedding : of the image, by the segmenter.
    objects : that are to be labelled.
    finds : the pre-annotation; none where there is none.
    habits : of the annotator.
    """
    truths = [thing.mask for thing in objects]
    ious = metrics.pairwise_iou([found.mask for found in finds], truths)
    partners = _partners(finds, objects, ious)
    actions = []
    for number, found in enumerate(finds):
        if number not in partners:
            best = float(ious[number].max()) if len(truths) else 0.0
            actions.append(Action(Fate.DELETED, found.label, 1, iou=best, score=found.score))
    proposals = {place: index for index, place in partners.items()}
    for place, thing in enumerate(objects):
        label, index = thing.label, proposals.get(place)
        if index is None:
            actions.append(_clicked(segmenter, embedding, thing, habits))
            continue
        found, iou = finds[index], float(ious[index, place])
        other = found.label != label
        if iou >= habits.accept:
            accepted = Action(Fate.ACCEPTED, label, 1 + other, mask=np.asarray(found.mask))
            actions.append(replace(accepted, relabelled=other, iou=iou, score=found.score))
        elif habits.redraw:
            actions.append(Action(Fate.DELETED, found.label, 1, iou=iou, score=found.score))
            actions.append(replace(_clicked(segmenter, embedding, thing, habits), iou=iou))
        else:
            done = _clicked(segmenter, embedding, thing, habits, found.mask)
            done = replace(done, fate=Fate.CORRECTED, clicks=done.clicks + other)
            actions.append(replace(done, relabelled=other, iou=iou, score=found.score))
    return actions


def _partners(finds: Sequence[Find], objects: Sequence[Object], ious: metrics.Floats) -> dict[int, int]:
    """Return the object of each proposal that has one; those of the object's own label come first."""
    same = np.array([[found.label == thing.label for thing in objects] for found in finds], bool).reshape(ious.shape)
    partners: dict[int, int] = {}
    free = ious.copy()
    for allowed in (same, ~same):
        pairs = metrics.match(np.where(allowed, free, 0.0), RIGHT)
        partners |= zip(pairs.pred.tolist(), pairs.gt.tolist(), strict=True)
        free[pairs.pred] = 0.0
        free[:, pairs.gt] = 0.0
    return partners


def _clicked(
    segmenter: Segmenter, embedding: Embedding, thing: Object, habits: Habits, proposal: BoolArray | None = None
) -> Action:
    """Outline an object by clicks, or correct a proposal, and paint what they do not reach.

    Each answer's logits go in with the next click, as when the model serves. A proposal goes in with the first one, and
    a click in its middle that nobody makes with all: without it, a click on what is wrong of the proposal would be
    taken for a click on what is meant.
    """
    truth = thing.mask
    mask, points, labels = np.zeros(truth.shape, bool), list[Point](), list[int]()
    fed: FloatArray | None = None
    window: Window | None = None
    if proposal is not None:
        mask, points, labels, fed = proposal, [deepest_point(proposal)], [POSITIVE], _as_logits(proposal)
    reached: list[float] = []
    while len(reached) < habits.most_clicks:
        following = correction(mask, truth, points)
        if following is None:
            break
        points.append(following[0])
        labels.append(following[1])
        prompt = Prompt(np.array(points, np.float32), np.array(labels), logits=fed, window=window)
        answer = segmenter.decode(embedding, [prompt])[0]
        mask, fed, window = answer.masks[answer.best], answer.logits[answer.best], answer.window
        reached.append(metrics.iou(mask, truth))
        if reached[-1] >= habits.accept:
            return Action(Fate.OUTLINED, thing.label, len(reached), reached=tuple(reached), mask=mask)
    clicks = len(reached) + habits.painting
    return Action(Fate.OUTLINED, thing.label, clicks, painted=True, reached=tuple(reached), mask=truth)


def _as_logits(mask: BoolArray) -> FloatArray:
    """Return logits as a model would have given them that answers with a mask (H, W)."""
    smooth: FloatArray = cv2.GaussianBlur(on_grid(mask).astype(np.float32), (0, 0), 1.0)
    return 2 * _SURE * smooth - _SURE
