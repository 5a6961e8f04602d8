"""What happened in a run, a line an event, on disk as soon as it happened: killed at any moment, a run goes on."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from sam_backend.arrays import BoolArray
from sam_evaluation.coco_rle import decode_mask, encode_mask
from sam_evaluation.simulation.annotator import Action, Fate


@dataclass(frozen=True)
class Done:
    """An action as it is kept, with the mask as COCO's run-lengths, "" where nothing was accepted; see `Action`."""

    fate: str
    label: str
    clicks: int
    painted: bool
    relabelled: bool
    iou: float
    score: float | None
    reached: tuple[float, ...]
    rle: str

    @classmethod
    def of(cls, action: Action) -> Done:
        """Keep an action."""
        rle = "" if action.mask is None else encode_mask(action.mask)
        facts = (action.fate, action.label, action.clicks, action.painted, action.relabelled, action.iou, action.score)
        return cls(*facts, tuple(round(iou, 4) for iou in action.reached), rle)

    @classmethod
    def read(cls, facts: dict[str, Any]) -> Done:
        """Read what was kept; KeyError and TypeError where it is something else."""
        return cls(**{**facts, "reached": tuple(facts["reached"])})


@dataclass(frozen=True)
class Labelled:
    """An image was labelled.

    Attributes
    ----------
    images : how many were, with this one.
    name : of the image.
    size : (H, W).
    actions : of the annotator.
    problem : why the image could not be read; "" where it could.
    """

    images: int
    name: str
    size: tuple[int, int] = (0, 0)
    actions: tuple[Done, ...] = ()
    problem: str = ""

    @property
    def clicks(self) -> int:
        """What the image cost."""
        return sum(action.clicks for action in self.actions)

    def accepted(self) -> Iterator[tuple[str, BoolArray]]:
        """Yield label and mask (H, W) of each accepted object."""
        for action in self.actions:
            if action.fate != Fate.DELETED:
                yield action.label, decode_mask(action.rle, self.size)


@dataclass(frozen=True)
class Tuned:
    """The model was tuned, or it was tried.

    Attributes
    ----------
    images : how many were labelled.
    version : that was made; "" for none.
    passed : whether it serves from now on.
    reason : the gate's words, or why nothing was made.
    """

    images: int
    version: str
    passed: bool
    reason: str


@dataclass(frozen=True)
class Measured:
    """Quality was measured.

    Attributes
    ----------
    images : how many were labelled.
    version : of the model.
    classes : pixel IoU of the memory, by class.
    box, click : mean IoU of the model's answers to a tight box and to a click; None where it is never tuned.
    """

    images: int
    version: str
    classes: dict[str, float]
    box: float | None = None
    click: float | None = None

    @property
    def pixel_iou(self) -> float:
        """Mean over the classes."""
        return sum(self.classes.values()) / max(len(self.classes), 1)


@dataclass(frozen=True)
class Chosen:
    """What is labelled next was chosen.

    Attributes
    ----------
    images : how many were labelled.
    names : that follow.
    """

    images: int
    names: tuple[str, ...]


Event = Labelled | Tuned | Measured | Chosen
_KINDS: dict[str, type[Any]] = {kind.__name__: kind for kind in (Labelled, Tuned, Measured, Chosen)}
_Kind = TypeVar("_Kind", Labelled, Tuned, Measured, Chosen)

_EVENT = "event"


@dataclass
class Journal:
    """The events of a run.

    Attributes
    ----------
    path : of the file; a line that was cut short is dropped when it is opened.
    events : so far.
    """

    path: Path
    events: list[Event] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not self.path.exists():
            return
        with self.path.open("r+b") as file:
            whole = 0
            for line in file:
                event = _read(line)
                if event is None:
                    break
                self.events.append(event)
                whole += len(line)
            file.truncate(whole)

    def append(self, event: Event) -> None:
        """Keep an event; it is on disk when this returns."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({_EVENT: type(event).__name__, **asdict(event)}) + "\n")
            file.flush()
            os.fsync(file.fileno())
        self.events.append(event)

    def of(self, kind: type[_Kind]) -> list[_Kind]:
        """Return all events of a kind, oldest first."""
        return [event for event in self.events if isinstance(event, kind)]

    def at(self, kind: type[_Kind], images: int) -> _Kind | None:
        """Return the event of a kind after so many images, if there is one."""
        return next((event for event in self.of(kind) if event.images == images), None)


def images_done(path: Path) -> int:
    """Return how many images a journal that another process writes has, without reading their masks."""
    if not path.exists():
        return 0
    start = f'{{"{_EVENT}": "{Labelled.__name__}"'.encode()
    with path.open("rb") as file:
        return sum(line.startswith(start) for line in file)


def _read(line: bytes) -> Event | None:
    """Return the event of a line, or None where it is not whole."""
    if not line.endswith(b"\n"):
        return None
    try:
        facts = json.loads(line)
        kind = _KINDS[facts.pop(_EVENT)]
        for name, value in facts.items():
            if isinstance(value, list):
                facts[name] = tuple(Done.read(each) if isinstance(each, dict) else each for each in value)
        event: Event = kind(**facts)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    return event
