"""The protocols by name, and the answers that they yield."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol as Interface

import numpy as np
from numpy.random import Generator

from sam_backend.arrays import BoolArray
from sam_backend.masks import deepest_point
from sam_backend.names import did_you_mean
from sam_backend.samples import Object
from sam_backend.segmenters import Candidates, Embedding, Prompt, Segmenter
from sam_evaluation.errors import EvaluationError
from sam_evaluation.protocols.simulated_clicks import (
    Point,
    around_deepest_point,
    correction,
    jittered_box,
    random_pixel,
    tight_box,
)

_MASK_BYTES = 2**27
"""Bytes of full-size masks that one batch of answers may take."""


@dataclass(frozen=True, eq=False)
class ProtocolAnswer:
    """A segmenter's answer to the prompt for one object.

    Attributes
    ----------
    object : int, the index of the object in its sample.
    click : int, the number of clicks made so far, from 1; 0 for a box.
    candidates : Candidates, the masks of the answer.
    chosen : int, the index of the candidate that the service would return.
    """

    object: int
    click: int
    candidates: Candidates
    chosen: int


class Protocol(Interface):
    """A simulated annotator."""

    @property
    def name(self) -> str:
        """The name that a user writes."""

    @property
    def needs(self) -> str:
        """The kind of prompt: "box" or "points"."""

    def run(
        self, segmenter: Segmenter, embedding: Embedding, objects: Sequence[Object], rng: Generator
    ) -> Iterator[ProtocolAnswer]:
        """Yield the answers for all objects of an image; the segmenter gets a few objects at a time."""


@dataclass(frozen=True)
class OncePrompted:
    """Gives one prompt per object.

    Attributes
    ----------
    name, needs : as of `Protocol`.
    prompt : function that makes the prompt for an object.
    """

    name: str
    needs: str
    prompt: Callable[[Generator, Object], Prompt]

    def run(
        self, segmenter: Segmenter, embedding: Embedding, objects: Sequence[Object], rng: Generator
    ) -> Iterator[ProtocolAnswer]:
        """Yield one answer per object."""
        click = 1 if self.needs == "points" else 0
        for batch in _batches(objects):
            prompts = [self.prompt(rng, objects[index]) for index in batch]
            for index, candidates in zip(batch, segmenter.decode(embedding, prompts), strict=True):
                yield ProtocolAnswer(index, click, candidates, candidates.best)


@dataclass(frozen=True)
class Corrected:
    """Clicks the deepest point, then corrects; every prompt holds all clicks and the logits of the answer before.

    Attributes
    ----------
    count : int, the largest number of clicks.
    """

    count: int
    needs: str = "points"

    @property
    def name(self) -> str:
        """`clicks:N`."""
        return f"clicks:{self.count}"

    def run(
        self, segmenter: Segmenter, embedding: Embedding, objects: Sequence[Object], rng: Generator
    ) -> Iterator[ProtocolAnswer]:
        """Yield one answer per object and click; an object whose mask becomes perfect gets fewer clicks."""
        for batch in _batches(objects):
            clicks = {index: [(deepest_point(objects[index].mask), 1)] for index in batch}
            earlier: dict[int, Candidates] = {}
            for click in range(1, self.count + 1):
                prompts = [_points(clicks[index], earlier.get(index)) for index in batch]
                answers = segmenter.decode(embedding, prompts) if prompts else []
                unfinished: list[int] = []
                for index, candidates in zip(batch, answers, strict=True):
                    chosen = candidates.best
                    yield ProtocolAnswer(index, click, candidates, chosen)
                    clicked = [point for point, _ in clicks[index]]
                    next_click = correction(candidates.masks[chosen], objects[index].mask, clicked)
                    if next_click is not None:
                        clicks[index].append(next_click)
                        earlier[index] = candidates
                        unfinished.append(index)
                batch = unfinished


def _points(clicks: list[tuple[Point, int]], earlier: Candidates | None) -> Prompt:
    points = np.array([point for point, _ in clicks], np.float32)
    labels = np.array([label for _, label in clicks])
    if earlier is None:
        return Prompt(points, labels)
    return Prompt(points, labels, logits=earlier.logits[earlier.best], window=earlier.window)


def _batches(objects: Sequence[Object]) -> Iterator[list[int]]:
    size = max(_MASK_BYTES // (3 * objects[0].mask.size), 1) if objects else 1
    for start in range(0, len(objects), size):
        yield list(range(start, min(start + size, len(objects))))


def _one_click(point: Callable[[Generator, BoolArray], Point]) -> Callable[[Generator, Object], Prompt]:
    return lambda rng, target: _points([(point(rng, target.mask), 1)], None)


_ONCE: dict[str, OncePrompted] = {
    protocol.name: protocol
    for protocol in (
        OncePrompted("box", "box", lambda _, target: Prompt(box=tight_box(target.mask))),
        OncePrompted("box:jitter", "box", lambda rng, target: Prompt(box=jittered_box(rng, target.mask))),
        OncePrompted("click", "points", _one_click(lambda _, mask: deepest_point(mask))),
        OncePrompted("click:random", "points", _one_click(random_pixel)),
        OncePrompted("click:spread", "points", _one_click(around_deepest_point)),
    )
}
EVERYTHING = "everything"
MOST_CLICKS = 20
NAMES = (*_ONCE, "clicks:N", EVERYTHING)


def parse_protocols(text: str) -> list[Protocol | None]:
    """Return the protocols of a list such as `box,click,clicks:5,everything`; None stands for `everything`.

    Raises
    ------
    EvaluationError
        If a name is unknown, or a number of clicks is not 1 to 20.
    """
    protocols: list[Protocol | None] = []
    for name in [part.strip() for part in text.split(",") if part.strip()]:
        if name == EVERYTHING:
            protocols.append(None)
        elif name in _ONCE:
            protocols.append(_ONCE[name])
        elif name.startswith("clicks:"):
            count = name.removeprefix("clicks:")
            if not count.isdigit() or not 1 <= int(count) <= MOST_CLICKS:
                raise EvaluationError(f"clicks:N takes 1 to {MOST_CLICKS} clicks; got {name!r}.")
            protocols.append(Corrected(int(count)))
        else:
            known = ", ".join(NAMES)
            raise EvaluationError(
                f"There is no protocol {name!r}; the known ones are {known}{did_you_mean(name, NAMES)}"
            )
    if not protocols:
        raise EvaluationError(f"Name at least one protocol of {', '.join(NAMES)}.")
    return protocols
