"""The events of a run, one line each, written to disk at once, so that a killed run can go on."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, TypeVar

from sam_backend.arrays import BoolArray
from sam_evaluation.coco_rle import decode_mask, encode_mask
from sam_evaluation.simulation.actions import Fate, Painting
from sam_evaluation.simulation.annotator import Action


@dataclass(frozen=True)
class RecordedAction:
    """An `Action` as the journal keeps it: the mask is a COCO run-length text, "" if nothing was accepted."""

    fate: str
    label: str
    clicks: int
    painted: bool
    relabelled: bool
    iou: float
    border: float
    score: float | None
    tools: str
    reached: tuple[float, ...]
    borders: tuple[float, ...]
    paintings: tuple[Painting, ...]
    rle: str

    @classmethod
    def of(cls, action: Action) -> RecordedAction:
        """Convert an action."""
        rle = "" if action.mask is None else encode_mask(action.mask)
        facts = {field.name: getattr(action, field.name) for field in fields(cls) if field.name != "rle"}
        paintings = tuple(
            replace(made, reached=_rounded(made.reached), borders=_rounded(made.borders)) for made in action.paintings
        )
        steps = {"reached": _rounded(action.reached), "borders": _rounded(action.borders), "paintings": paintings}
        return cls(**{**facts, **steps}, rle=rle)

    @classmethod
    def read(cls, facts: dict[str, Any]) -> RecordedAction:
        """Read a JSON object; raise KeyError or TypeError if it is no action."""
        paintings = tuple(Painting(**_with_tuples(made)) for made in facts["paintings"])
        return cls(**{**_with_tuples(facts), "paintings": paintings})


@dataclass(frozen=True)
class ImageLabelled:
    """An image was labelled.

    Attributes
    ----------
    images : number of labelled images, including this one.
    name : name of the image.
    size : (H, W) of the image in pixels.
    actions : actions of the annotator.
    problem : why the image could not be read; "" if it could.
    """

    images: int
    name: str
    size: tuple[int, int] = (0, 0)
    actions: tuple[RecordedAction, ...] = ()
    problem: str = ""

    @property
    def clicks(self) -> int:
        """Number of clicks on the image."""
        return sum(action.clicks for action in self.actions)

    def accepted(self) -> Iterator[tuple[str, BoolArray]]:
        """Yield label and mask, bool (H, W), of each accepted object."""
        for action in self.actions:
            if action.fate != Fate.DELETED:
                yield action.label, decode_mask(action.rle, self.size)


@dataclass(frozen=True)
class ModelTuned:
    """A training ended, with or without a new version.

    Attributes
    ----------
    images : number of labelled images.
    version : the new version, for example "nano-0001"; "" if none was made.
    passed : whether the new version serves from now on.
    reason : the gate's reason, or why no version was made.
    """

    images: int
    version: str
    passed: bool
    reason: str


@dataclass(frozen=True)
class RefinerTuned:
    """A tuning of the refiner ended, with or without a new version.

    Attributes
    ----------
    images : number of labelled images.
    version : the new version, for example "refiner_simulated-0001"; "" if none was made.
    passed : whether the new version serves from now on.
    reason : the gate's reason, or why no version was made.
    """

    images: int
    version: str
    passed: bool
    reason: str


@dataclass(frozen=True)
class QualityMeasured:
    """Quality was measured.

    Attributes
    ----------
    images : number of labelled images.
    version : version of the model.
    classes : pixel IoU of the memory, by class.
    box, click : mean IoU of the model's answers to a tight box and to a click; None if the model is never tuned.
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
class ImagesChosen:
    """A strategy chose the next images.

    Attributes
    ----------
    images : number of labelled images.
    names : names of the next images, in order.
    """

    images: int
    names: tuple[str, ...]


Event = ImageLabelled | ModelTuned | RefinerTuned | QualityMeasured | ImagesChosen
_Kind = TypeVar("_Kind", ImageLabelled, ModelTuned, RefinerTuned, QualityMeasured, ImagesChosen)

_EVENT, _LABELLED = "event", "Labelled"
_KINDS: dict[str, type[Any]] = {
    _LABELLED: ImageLabelled,
    "Tuned": ModelTuned,
    "RefinerTuned": RefinerTuned,
    "Measured": QualityMeasured,
    "Chosen": ImagesChosen,
}
"""The events by their names in the file."""

_NAMES = {kind: name for name, kind in _KINDS.items()}


@dataclass
class Journal:
    """The events of a run.

    Attributes
    ----------
    path : Path of the file; opening it drops an incomplete last line.
    events : the events so far.
    """

    path: Path
    events: list[Event] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not self.path.exists():
            return
        with self.path.open("r+b") as file:
            complete = 0
            for line in file:
                event = _read(line)
                if event is None:
                    break
                self.events.append(event)
                complete += len(line)
            file.truncate(complete)

    def append(self, event: Event) -> None:
        """Add an event; it is on disk when this method returns."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({_EVENT: _NAMES[type(event)], **asdict(event)}) + "\n")
            file.flush()
            os.fsync(file.fileno())
        self.events.append(event)

    def of(self, kind: type[_Kind]) -> list[_Kind]:
        """Return all events of a kind, oldest first."""
        return [event for event in self.events if isinstance(event, kind)]

    def at(self, kind: type[_Kind], images: int) -> _Kind | None:
        """Return the event of a kind after `images` labelled images, or None."""
        return next((event for event in self.of(kind) if event.images == images), None)


def images_done(path: Path) -> int:
    """Return the number of labelled images in a journal that another process writes, without reading their masks."""
    if not path.exists():
        return 0
    start = f'{{"{_EVENT}": "{_LABELLED}"'.encode()
    with path.open("rb") as file:
        return sum(line.startswith(start) for line in file)


def _rounded(values: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(round(value, 4) for value in values)


def _with_tuples(facts: dict[str, Any]) -> dict[str, Any]:
    return {**facts, "reached": tuple(facts["reached"]), "borders": tuple(facts["borders"])}


def _read(line: bytes) -> Event | None:
    """Return the event of a line, or None if the line is incomplete."""
    if not line.endswith(b"\n"):
        return None
    try:
        facts = json.loads(line)
        kind = _KINDS[facts.pop(_EVENT)]
        for name, value in facts.items():
            if isinstance(value, list):
                facts[name] = tuple(RecordedAction.read(entry) if isinstance(entry, dict) else entry for entry in value)
        event: Event = kind(**facts)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    return event
