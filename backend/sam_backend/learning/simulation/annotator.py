"""The simulated annotator: what it does to the proposals and the objects of an image, and what that costs in clicks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from sam_backend.learning.memory.calibration import RIGHT
from sam_backend.learning.memory.memory import Find
from sam_backend.segmenters import Embedding, Prompt, Segmenter
from sam_backend.segmenters.protocol import BoolArray, FloatArray
from sam_backend.segmenters.refinement import LogitsMemo, refine
from sam_evaluation import metrics
from sam_evaluation.datasets.sample import Object
from sam_evaluation.protocols.clicks import correction, tight_box


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
    mask : what was accepted (H, W); None where nothing was.
    """

    fate: Fate
    label: str
    clicks: int
    painted: bool = False
    relabelled: bool = False
    iou: float = 0.0
    score: float | None = None
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
    memo = LogitsMemo()
    proposals = {place: index for index, place in partners.items()}
    for place, truth in enumerate(truths):
        label, index = objects[place].label, proposals.get(place)
        if index is None:
            mask, clicks, painted = _clicked(segmenter, embedding, truth, habits, memo)
            actions.append(Action(Fate.OUTLINED, label, clicks, painted, mask=mask))
            continue
        found, iou = finds[index], float(ious[index, place])
        other = found.label != label
        if iou >= habits.accept:
            actions.append(
                Action(Fate.ACCEPTED, label, 1 + other, False, other, iou, found.score, np.asarray(found.mask))
            )
        elif habits.redraw:
            actions.append(Action(Fate.DELETED, found.label, 1, iou=iou, score=found.score))
            mask, clicks, painted = _clicked(segmenter, embedding, truth, habits, memo)
            actions.append(Action(Fate.OUTLINED, label, clicks, painted, iou=iou, mask=mask))
        else:
            mask, clicks, painted = _clicked(segmenter, embedding, truth, habits, memo, found.mask)
            actions.append(Action(Fate.CORRECTED, label, clicks + other, painted, other, iou, found.score, mask))
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
    segmenter: Segmenter,
    embedding: Embedding,
    truth: BoolArray,
    habits: Habits,
    memo: LogitsMemo,
    proposal: BoolArray | None = None,
) -> tuple[BoolArray, int, bool]:
    """Return the mask that is accepted of an object in the end, the clicks it cost, and whether it was painted.

    A proposal is corrected within its box: without one, a click on what is wrong of it would be taken for a click on
    what is meant, and give something else.
    """
    box: FloatArray | None = None if proposal is None else tight_box(proposal)
    mask = np.zeros(truth.shape, bool) if proposal is None else proposal
    points: list[tuple[int, int]] = []
    labels: list[int] = []
    while len(points) < habits.most_clicks:
        following = correction(mask, truth, points)
        if following is None:
            break
        points.append(following[0])
        labels.append(following[1])
        prompt = Prompt(np.array(points, np.float32), np.array(labels), box)
        mask = refine(segmenter, embedding, prompt, memo, segmenter.version).masks[0]
        if metrics.iou(mask, truth) >= habits.accept:
            return mask, len(points), False
    return truth, len(points) + habits.painting, True
