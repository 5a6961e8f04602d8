"""Actions in Label Studio: what each piece of work takes in keys, clicks and drags, and what the work on a mask takes.

`COSTS` is the only table of costs. `tests/e2e/test_action_costs.py` measures it: it does each piece of work on the real
page, with the settings of each `Page`, and counts the keys, clicks and drags that the browser sees.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Tool(StrEnum):
    """What a step of the work on a mask was made with; one letter each, so that the steps of a mask are one word."""

    BOX = "o"
    POSITIVE = "p"
    NEGATIVE = "n"
    BRUSH = "b"
    ERASER = "e"
    SIZE = "s"


@dataclass(frozen=True)
class Painting:
    """What it takes to paint a mask by hand until it is accepted, from what the first prompts gave.

    Attributes
    ----------
    after : number of prompts before it.
    tools : `BRUSH` or `ERASER` for a stroke, `SIZE` for another size of the brush; one letter each.
    reached, borders : IoU and boundary F after each.
    """

    after: int
    tools: str
    reached: tuple[float, ...]
    borders: tuple[float, ...]


class Fate(StrEnum):
    """What became of a proposal, or how an object got its mask."""

    ACCEPTED = "accepted"
    CORRECTED = "corrected"
    REDRAWN = "redrawn"
    DELETED = "deleted"
    OUTLINED = "outlined"


class Page(StrEnum):
    """Settings of the labeling page.

    `QUICK` has *Keep label selected after creating a region* and *Auto-Accept Suggestions*, which are off by default.
    """

    DEFAULT = "default"
    QUICK = "quick"


class Work(StrEnum):
    """Pieces of work on the labeling page."""

    KEEP = "leave a proposal as it is"
    LABEL = "choose a label"
    CLICK = "click on an object, or on what a mask lacks"
    NEGATIVE = "click on what a mask has too much"
    THROUGH = "click through a region that exists"
    BOX = "draw a box"
    ACCEPT = "accept the model's answer"
    SELECT = "select a region"
    UNSELECT = "unselect it"
    DELETE = "delete the selected region"
    BRUSH = "take the brush"
    ERASER = "take the eraser"
    STROKE = "paint or erase a stroke"
    SIZE = "change the size of the brush"
    SMART = "take the smart tool again"
    OTHER = "take the other smart tool"
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


_DEFAULT: dict[Work, Cost] = {
    Work.KEEP: Cost(),
    Work.LABEL: Cost(keys=1),
    Work.CLICK: Cost(clicks=1),
    Work.NEGATIVE: Cost(keys=1, clicks=1),
    Work.THROUGH: Cost(keys=1),
    Work.BOX: Cost(drags=1),
    Work.ACCEPT: Cost(clicks=1),
    Work.SELECT: Cost(clicks=1),
    Work.UNSELECT: Cost(keys=1),
    Work.DELETE: Cost(keys=1),
    Work.BRUSH: Cost(keys=1),
    Work.ERASER: Cost(keys=1),
    Work.STROKE: Cost(drags=1),
    Work.SIZE: Cost(keys=1),
    Work.SMART: Cost(keys=1),
    Work.OTHER: Cost(clicks=1),
    Work.SUBMIT: Cost(clicks=1),
}

COSTS: dict[Page, dict[Work, Cost]] = {Page.DEFAULT: _DEFAULT, Page.QUICK: _DEFAULT | {Work.ACCEPT: Cost()}}

_PROMPTING = {Tool.BOX: Work.BOX, Tool.POSITIVE: Work.CLICK, Tool.NEGATIVE: Work.NEGATIVE}


def cost_of(work: Counter[Work], page: Page = Page.DEFAULT) -> Cost:
    """Return what pieces of work take in all.

    Examples
    --------
    >>> cost_of(Counter({Work.LABEL: 2, Work.CLICK: 1, Work.NEGATIVE: 1, Work.ACCEPT: 1}))
    Cost(keys=3, clicks=3, drags=0)
    """
    costs = COSTS[page]
    return Cost(
        sum(costs[piece].keys * times for piece, times in work.items()),
        sum(costs[piece].clicks * times for piece, times in work.items()),
        sum(costs[piece].drags * times for piece, times in work.items()),
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


def works_of(actions: Iterable[Any], level: Level, stop: int, page: Page) -> Iterator[Counter[Work]]:
    """Yield the work on each mask.

    Parameters
    ----------
    actions : rows of `RunTables.actions` of one plan, in their order; the label that the page keeps is that of the mask
        before. A new image begins without one.
    level, stop, page : see `work_of`.
    """
    image, kept = None, ""
    for action in actions:
        if (action.seed, action.images) != image:
            image, kept = (action.seed, action.images), ""
        work = work_of(action, level, stop, page, kept)
        kept = _kept_after(action, work, page, kept)
        yield work


def work_of(action: Any, level: Level, stop: int, page: Page = Page.DEFAULT, kept: str = "") -> Counter[Work]:
    """Return the work on a mask.

    A proposal that is left alone takes nothing. By default, Label Studio lets go of the label after each prompt, so
    each needs it again. The quick page keeps it until a region is selected; there an answer is a region at once, which
    a bare click inside it would only select. Clicks correct the answer to a box once it is accepted, with the other
    smart tool, which has labels of its own. What a model answered is selected before the brush changes it; a mask that
    is painted from nothing is selected as long as it is painted, and its label brings the brush.

    Parameters
    ----------
    action : object with the attributes of `annotator.Action`.
    level : Level from which the annotator accepts masks; the run must have reached it.
    stop : number of prompts after which the annotator paints the rest; one of the run's `Manner.stops`.
    page : Page on which the annotator works.
    kept : the label that the smart tool still has; "" for none.
    """
    if action.fate == Fate.DELETED:
        return Counter({Work.SELECT: 1, Work.DELETE: 1})
    is_proposed = action.fate != Fate.OUTLINED
    work = Counter[Work]()
    if is_proposed and level.accepts(action.iou, action.border):
        return work + Counter({Work.KEEP: 1} | _relabelling(action))
    if action.fate == Fate.REDRAWN:
        work += Counter({Work.SELECT: 1, Work.DELETE: 1})
    elif is_proposed:
        work += Counter(_relabelling(action))
    prompts, is_good = _until(action.tools[:stop], action.reached, action.borders, level)
    work += Counter(_PROMPTING[Tool(tool)] for tool in prompts)
    changes_tool = prompts.startswith(Tool.BOX) and len(prompts) > 1
    if page is Page.DEFAULT:
        work[Work.LABEL] += len(prompts)
    elif prompts:
        work[Work.LABEL] += (Work.SELECT in work or kept != action.label) + changes_tool
    if action.fate == Fate.CORRECTED or page is Page.QUICK or changes_tool:
        # What a region has too much lies inside it, and a bare click there would only select it.
        work[Work.THROUGH] += prompts.count(Tool.NEGATIVE)
    work[Work.ACCEPT] += bool(prompts) + changes_tool
    work[Work.OTHER] += 2 * changes_tool
    if not is_good:
        work += _painting_of(action, level, len(prompts))
    return +work


def _kept_after(action: Any, work: Counter[Work], page: Page, kept: str) -> str:
    """Return the label that the smart tool has after the work on a mask.

    It goes where a region is selected and unselected, and where another tool is taken.
    """
    if page is Page.DEFAULT or Work.STROKE in work or Work.OTHER in work:
        return ""
    if any(piece in work for piece in _PROMPTING.values()):
        return str(action.label)
    return "" if Work.SELECT in work else kept


def _relabelling(action: Any) -> dict[Work, int]:
    return {Work.SELECT: 1, Work.LABEL: 1, Work.UNSELECT: 1} if action.relabelled else {}


def _painting_of(action: Any, level: Level, after: int) -> Counter[Work]:
    painting = next(painting for painting in action.paintings if painting.after == after)
    tools, _ = _until(painting.tools, painting.reached, painting.borders, level)
    is_new = not after and action.fate != Fate.CORRECTED
    sizes = tools.count(Tool.SIZE)
    work = Counter({Work.LABEL if is_new else Work.SELECT: 1, Work.STROKE: len(tools) - sizes, Work.UNSELECT: 1})
    # The label of a new mask brings the brush.
    work[Work.BRUSH] += Tool.BRUSH in tools and not is_new
    work[Work.ERASER] += Tool.ERASER in tools
    work[Work.SIZE] += sizes
    # Who paints everything needs no other tool after it.
    work[Work.SMART] += after > 0
    return work


def _until(tools: str, reached: Sequence[float], borders: Sequence[float], level: Level) -> tuple[str, bool]:
    """Return the steps until a mask is accepted, all of them if none is, and whether it is."""
    for step, (_, iou, border) in enumerate(zip(tools, reached, borders, strict=False), 1):
        if level.accepts(iou, border):
            return tools[:step], True
    return tools, False
