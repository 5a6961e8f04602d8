"""Actions in Label Studio: what each piece of work takes in keys, clicks and drags, and what the work on a mask takes.

`COSTS` is the only table of costs. `tests/e2e/test_action_costs.py` measures it: it does each piece of work on the real
page, with the page's default settings, and counts the keys, clicks and drags that the browser saw.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class Tool(StrEnum):
    """What a step of the work on a mask was made with; one letter each, so that the steps of a mask are one word."""

    BOX = "o"
    POSITIVE = "+"
    NEGATIVE = "-"
    BRUSH = "b"
    ERASER = "e"


PROMPTS = frozenset({Tool.BOX, Tool.POSITIVE, Tool.NEGATIVE})
"""The tools that a model answers."""


class Fate(StrEnum):
    """What became of a proposal, or how an object got its mask."""

    ACCEPTED = "accepted"
    CORRECTED = "corrected"
    REDRAWN = "redrawn"
    DELETED = "deleted"
    OUTLINED = "outlined"


class Work(StrEnum):
    """Pieces of work on the labeling page."""

    KEEP = "leave a proposal as it is"
    LABEL = "choose a label"
    CLICK = "click on an object, or on what a mask lacks"
    NEGATIVE = "click on what a mask has too much"
    BOX = "draw a box"
    ACCEPT = "accept the model's answer"
    SELECT = "select a region"
    UNSELECT = "unselect it"
    DELETE = "delete the selected region"
    BRUSH = "take the brush"
    ERASER = "take the eraser"
    STROKE = "paint or erase a stroke"
    SMART = "take the smart tool again"
    SUBMIT = "submit an image"


@dataclass(frozen=True)
class Cost:
    """Keys pressed (modifiers included), clicks and drags."""

    keys: int = 0
    clicks: int = 0
    drags: int = 0

    @property
    def actions(self) -> int:
        """All of them."""
        return self.keys + self.clicks + self.drags


COSTS: dict[Work, Cost] = {
    Work.KEEP: Cost(),
    Work.LABEL: Cost(keys=1),
    Work.CLICK: Cost(clicks=1),
    Work.NEGATIVE: Cost(keys=1, clicks=1),
    Work.BOX: Cost(drags=1),
    Work.ACCEPT: Cost(clicks=1),
    Work.SELECT: Cost(clicks=1),
    Work.UNSELECT: Cost(keys=1),
    Work.DELETE: Cost(keys=1),
    Work.BRUSH: Cost(keys=1),
    Work.ERASER: Cost(keys=1),
    Work.STROKE: Cost(drags=1),
    Work.SMART: Cost(keys=1),
    Work.SUBMIT: Cost(clicks=1),
}

_PROMPTING = {Tool.BOX: Work.BOX, Tool.POSITIVE: Work.CLICK, Tool.NEGATIVE: Work.NEGATIVE}


def cost_of(work: Counter[Work]) -> Cost:
    """Return what pieces of work take in all.

    Examples
    --------
    >>> cost_of(Counter({Work.LABEL: 2, Work.CLICK: 1, Work.NEGATIVE: 1}))
    Cost(keys=3, clicks=2, drags=0)
    """
    return Cost(
        sum(COSTS[piece].keys * times for piece, times in work.items()),
        sum(COSTS[piece].clicks * times for piece, times in work.items()),
        sum(COSTS[piece].drags * times for piece, times in work.items()),
    )


BORDER_PIXELS = 2
"""Tolerance of the border's boundary F in pixels."""

RIGHT_BORDER = 0.9
"""Boundary F from which the border of a mask is right."""


@dataclass(frozen=True)
class Level:
    """From when on an annotator accepts a mask.

    Attributes
    ----------
    iou : IoU in [0, 1] from which it is accepted.
    border : whether it is also accepted if its boundary F at `BORDER_PIXELS` is `RIGHT_BORDER` or more.
    """

    iou: float
    border: bool = False

    def accepts(self, iou: float, border: float) -> bool:
        """Whether a mask with this IoU and boundary F is accepted."""
        return iou >= self.iou or (self.border and border >= RIGHT_BORDER)

    @property
    def name(self) -> str:
        """Such as `0.9` or `0.9 or border`."""
        return f"{self.iou:g}{' or border' if self.border else ''}"


class DoneAction(Protocol):
    """The work on one mask, as `annotator.Action` and `journal.RecordedAction` have it."""

    @property
    def fate(self) -> str: ...
    @property
    def relabelled(self) -> bool: ...
    @property
    def iou(self) -> float: ...
    @property
    def border(self) -> float: ...
    @property
    def tools(self) -> str: ...
    @property
    def reached(self) -> Sequence[float]: ...
    @property
    def borders(self) -> Sequence[float]: ...


def work_of(action: DoneAction, level: Level) -> Counter[Work]:
    """Return the work on a mask, for an annotator who accepts it from a level on that the run reached, too.

    A proposal that is left alone takes nothing. Label Studio lets go of the label after each prompt, so each needs it
    again. What a model answered is selected before the brush changes it; a mask that is painted from nothing is
    selected as long as it is painted, and its label brings the brush.
    """
    if action.fate == Fate.DELETED:
        return Counter({Work.SELECT: 1, Work.DELETE: 1})
    is_proposed = action.fate != Fate.OUTLINED
    relabel = {Work.SELECT: 1, Work.LABEL: 1, Work.UNSELECT: 1} if action.relabelled else {}
    work = Counter[Work](relabel)
    if is_proposed and level.accepts(action.iou, action.border):
        return work + Counter({Work.KEEP: 1})
    if action.fate == Fate.REDRAWN:
        work = Counter({Work.SELECT: 1, Work.DELETE: 1})
    reached = zip(action.reached, action.borders, strict=True)
    last = next((step for step, quality in enumerate(reached, 1) if level.accepts(*quality)), len(action.tools))
    steps = [Tool(tool) for tool in action.tools[:last]]
    prompts = [tool for tool in steps if tool in PROMPTS]
    for tool in prompts:
        work += Counter({Work.LABEL: 1, _PROMPTING[tool]: 1})
    if prompts:
        work[Work.ACCEPT] += 1
    if len(prompts) < len(steps):
        is_new = not prompts and action.fate != Fate.CORRECTED
        taken = {Work.LABEL if is_new else Work.SELECT: 1, Work.UNSELECT: 1, Work.STROKE: len(steps) - len(prompts)}
        work += Counter(taken)
        # The label of a new mask brings the brush; the painter of all masks needs no other tool after it.
        work[Work.BRUSH] += Tool.BRUSH in steps and not is_new
        work[Work.ERASER] += Tool.ERASER in steps
        work[Work.SMART] += not is_new
    return +work
