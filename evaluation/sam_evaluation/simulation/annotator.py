"""The simulated annotator: what it does with the proposals and objects of an image, and what each step reaches."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from sam_backend.arrays import BoolArray
from sam_backend.memory.proposals import Proposal
from sam_backend.memory.score_calibration import CORRECT_IOU
from sam_backend.samples import Object
from sam_backend.segmenters import Candidates, Embedding, Prompt, Segmenter
from sam_backend.segmenters.refinement import next_prompt
from sam_evaluation import metrics
from sam_evaluation.protocols.named_protocols import batches
from sam_evaluation.protocols.simulated_clicks import Point, correction, tight_box
from sam_evaluation.simulation.actions import BORDER_PIXELS, Fate, Painting, Tool
from sam_evaluation.simulation.painting import strokes


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


@dataclass(frozen=True)
class Manner:
    """How an object is shown, and after how many prompts it is also painted, to count what that takes.

    Attributes
    ----------
    box : whether a tight box shows an object without a proposal, instead of a click.
    stops : numbers of prompts after which an annotator might paint the rest; 0 paints without any.
    """

    box: bool = False
    stops: tuple[int, ...] = ()


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
    iou, border : IoU of the proposal with the object, and boundary F at `BORDER_PIXELS`; 0 without a proposal.
    score : score of the proposal in [0, 1]; None without a proposal.
    tools : the `Tool` of each prompt that outlined or corrected the mask, one letter each.
    reached, borders : IoU and boundary F after each prompt.
    paintings : what painting took from there, for each of the annotator's stops at which the mask was not accepted.
    mask : the accepted mask, bool (H, W); None if the action accepts nothing.
    """

    fate: Fate
    label: str
    clicks: int
    painted: bool = False
    relabelled: bool = False
    iou: float = 0.0
    border: float = 0.0
    score: float | None = None
    tools: str = ""
    reached: tuple[float, ...] = ()
    borders: tuple[float, ...] = ()
    paintings: tuple[Painting, ...] = ()
    mask: BoolArray | None = None


Outlining = Generator[Prompt, Candidates, Action]
"""The work on one object: it yields prompts, receives their answers, and returns the action."""


def annotate(
    segmenter: Segmenter,
    embedding: Embedding,
    objects: Sequence[Object],
    proposals: Sequence[Proposal],
    habits: Habits,
    manner: Manner = Manner(),
    helped: Callable[[str], Segmenter] | None = None,
) -> list[Action]:
    """Label an image by the rules of `docs/decisions/016-counting-clicks.md` and `026-counting-actions.md`.

    Parameters
    ----------
    segmenter : Segmenter that answers the clicks.
    embedding : Embedding of the image, made by the segmenter.
    objects : the objects to label.
    proposals : the pre-annotation; may be empty.
    habits : Habits of the annotator.
    manner : Manner of showing objects, and where painting is tried.
    helped : function that returns the segmenter for clicks under a label, such as `ProjectMemory.helping`; None for
        `segmenter`.
    """
    segmenters = {target.label: helped(target.label) if helped else segmenter for target in objects}
    truths = [target.mask for target in objects]
    ious = metrics.pairwise_iou([proposal.mask for proposal in proposals], truths)
    partners = _partners(proposals, objects, ious)
    actions: list[Action] = []
    for index, proposal in enumerate(proposals):
        if index not in partners:
            best = float(ious[index].max()) if len(truths) else 0.0
            actions.append(Action(Fate.DELETED, proposal.label, 1, iou=best, score=proposal.score))
    proposal_of = {number: proposals[index] for index, number in partners.items()}
    for batch in batches(objects):
        works = [_work_on(segmenter, objects[number], proposal_of.get(number), habits, manner) for number in batch]
        actions += _carry_out([segmenters[objects[number].label] for number in batch], embedding, works)
    return actions


def _carry_out(segmenters: Sequence[Segmenter], embedding: Embedding, works: Sequence[Outlining]) -> list[Action]:
    """Answer the prompts of several objects, those of one segmenter together, until the work on each is done."""
    done: dict[int, Action] = {}
    answers: dict[int, Candidates | None] = dict.fromkeys(range(len(works)))
    while answers:
        prompts: dict[int, Prompt] = {}
        for index, answer in answers.items():
            try:
                prompts[index] = next(works[index]) if answer is None else works[index].send(answer)
            except StopIteration as end:
                done[index] = end.value
        answers = {}
        for segmenter in {id(segmenters[index]): segmenters[index] for index in prompts}.values():
            members = [index for index in prompts if segmenters[index] is segmenter]
            answers |= zip(members, segmenter.decode(embedding, [prompts[index] for index in members]), strict=True)
    return [done[index] for index in range(len(works))]


def _work_on(
    segmenter: Segmenter, target: Object, proposal: Proposal | None, habits: Habits, manner: Manner
) -> Outlining:
    """Accept or correct the proposal of an object, or outline it."""
    if proposal is None:
        return (yield from _outline(segmenter, target, habits, manner))
    mask = np.asarray(proposal.mask)
    iou, border = _quality(mask, target.mask)
    relabelled = proposal.label != target.label
    if iou >= habits.accept:
        made = Action(Fate.ACCEPTED, target.label, 1 + relabelled, mask=mask)
    elif habits.redraw:
        outlined = yield from _outline(segmenter, target, habits, manner)
        # One click deletes the proposal; the label is chosen anew.
        made = replace(outlined, fate=Fate.REDRAWN, clicks=outlined.clicks + 1)
    else:
        outlined = yield from _outline(segmenter, target, habits, manner, mask)
        made = replace(outlined, fate=Fate.CORRECTED, clicks=outlined.clicks + relabelled)
    return replace(made, relabelled=relabelled, iou=iou, border=border, score=proposal.score)


def _outline(
    segmenter: Segmenter, target: Object, habits: Habits, manner: Manner, proposal: BoolArray | None = None
) -> Outlining:
    """Outline an object by prompts, or correct a proposal by clicks, and paint what they do not reach.

    Every prompt holds the clicks so far and the last mask, as when the model serves.
    """
    truth = target.mask
    masks = [np.zeros(truth.shape, bool) if proposal is None else proposal]
    points, labels = list[Point](), list[int]()
    tools, qualities = "", [_quality(masks[0], truth)]
    answer: Candidates | None = None
    is_boxed = manner.box and proposal is None
    while len(tools) < habits.most_clicks and (not tools or qualities[-1][0] < habits.accept):
        if is_boxed and not tools:
            tool, prompt = Tool.BOX, Prompt(box=tight_box(truth))
        else:
            click = correction(masks[-1], truth, points)
            if click is None:
                break
            points.append(click[0])
            labels.append(click[1])
            tool = Tool.POSITIVE if click[1] else Tool.NEGATIVE
            prompt = Prompt(np.array(points, np.float32), np.array(labels))
            if proposal is not None:
                prompt = replace(prompt, mask=masks[-1])
            elif answer is not None:
                prompt = next_prompt(segmenter, prompt, answer)
        answer = yield prompt
        tools += tool
        masks.append(answer.masks[answer.best])
        qualities.append(_quality(masks[-1], truth))
    reached, borders = zip(*qualities[1:], strict=True) if tools else ((), ())
    painted = not tools or reached[-1] < habits.accept
    made = Action(
        Fate.OUTLINED,
        target.label,
        len(tools) + painted * habits.painting,
        painted=painted,
        tools=tools,
        reached=reached,
        borders=borders,
        mask=truth if painted else masks[-1],
    )
    stops = sorted({min(stop, len(tools)) for stop in manner.stops})
    open_stops = [stop for stop in stops if all(iou < habits.accept for iou, _ in qualities[: stop + 1])]
    return replace(made, paintings=tuple(_paint(stop, masks[stop], truth, habits.accept) for stop in open_stops))


def _paint(after: int, mask: BoolArray, truth: BoolArray, accept: float) -> Painting:
    """Paint a mask until it is accepted."""
    tools, qualities = "", list[tuple[float, float]]()
    for stroke in strokes(mask, truth):
        if stroke.resized:
            tools += Tool.SIZE
            qualities.append(qualities[-1] if qualities else _quality(mask, truth))
        tools += stroke.tool
        qualities.append(_quality(stroke.mask, truth))
        if qualities[-1][0] >= accept:
            break
    return Painting(after, tools, tuple(iou for iou, _ in qualities), tuple(border for _, border in qualities))


def _quality(mask: BoolArray, truth: BoolArray) -> tuple[float, float]:
    """Return the IoU and the boundary F at `BORDER_PIXELS` of a mask."""
    pair = metrics.Pair.of(mask, truth)
    return metrics.iou_of(pair), metrics.boundary_fs_of(pair, [BORDER_PIXELS])[0]


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
