"""The protocols by name, and the answers that they yield."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol as Interface

import numpy as np
from numpy.random import Generator

from sam_backend.arrays import BoolArray, FloatArray
from sam_backend.masks import deepest_point
from sam_backend.names import did_you_mean
from sam_backend.samples import Object
from sam_backend.segmenters import Candidates, Embedding, Prompt, Segmenter
from sam_backend.segmenters.model_info import PromptKind
from sam_backend.segmenters.refinement import next_prompt
from sam_evaluation.errors import EvaluationError
from sam_evaluation.protocols.concept_protocols import EXEMPLAR, TEXT, ByExemplar, ByText, ConceptProtocol
from sam_evaluation.protocols.simulated_clicks import (
    SPREAD,
    Point,
    around_deepest_point,
    correction,
    jittered_box,
    random_pixel,
    tight_box,
)

_BOX: frozenset[PromptKind] = frozenset({"box"})
_POINTS: frozenset[PromptKind] = frozenset({"points"})

AFTER_CLICK, AFTER_BOX, AFTER_SPREAD = "clicks:", "box+clicks:", "spread-clicks:"
CORRECTED = (AFTER_CLICK, AFTER_BOX, AFTER_SPREAD)
"""How the names of the protocols with corrections begin; the number of clicks follows."""

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
    def needs(self) -> frozenset[PromptKind]:
        """The kinds of prompts that it gives: "box", "points" or both."""

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
    needs: frozenset[PromptKind]
    prompt: Callable[[Generator, Object], Prompt]

    def run(
        self, segmenter: Segmenter, embedding: Embedding, objects: Sequence[Object], rng: Generator
    ) -> Iterator[ProtocolAnswer]:
        """Yield one answer per object."""
        click = 1 if self.needs == _POINTS else 0
        for batch in batches(objects):
            prompts = [self.prompt(rng, objects[index]) for index in batch]
            for index, candidates in zip(batch, segmenter.decode(embedding, prompts), strict=True):
                yield ProtocolAnswer(index, click, candidates, candidates.best)


@dataclass(frozen=True)
class Corrected:
    """Shows an object, then corrects the answers; every prompt holds all clicks so far and what the last answer was.

    Attributes
    ----------
    count : int, the largest number of clicks.
    box : bool, whether a tight box shows the object, which is no click; else the first click on the deepest point does.
    spread : float, how far the clicks are from the deepest points; see `simulated_clicks.around_deepest_point`.
    """

    count: int
    box: bool = False
    spread: float = 0.0

    @property
    def name(self) -> str:
        """`clicks:N`, `box+clicks:N` or `spread-clicks:N`."""
        return f"{AFTER_BOX if self.box else AFTER_SPREAD if self.spread else AFTER_CLICK}{self.count}"

    @property
    def needs(self) -> frozenset[PromptKind]:
        """As of `Protocol`."""
        return _BOX | _POINTS if self.box else _POINTS

    def run(
        self, segmenter: Segmenter, embedding: Embedding, objects: Sequence[Object], rng: Generator
    ) -> Iterator[ProtocolAnswer]:
        """Yield one answer per object and click, and one for the box; perfect masks get no more clicks."""
        # An object's draws do not depend on how many clicks the other objects take.
        rngs = rng.spawn(len(objects))
        for batch in batches(objects):
            boxes = {index: tight_box(objects[index].mask) if self.box else None for index in batch}
            clicks: dict[int, list[tuple[Point, int]]] = {
                index: [] if self.box else [(around_deepest_point(rngs[index], objects[index].mask, self.spread), 1)]
                for index in batch
            }
            earlier: dict[int, Candidates] = {}
            for click in range(0 if self.box else 1, self.count + 1):
                prompts = [
                    next_prompt(segmenter, _clicked(clicks[index], boxes[index]), earlier.get(index)) for index in batch
                ]
                answers = segmenter.decode(embedding, prompts) if prompts else []
                unfinished: list[int] = []
                for index, candidates in zip(batch, answers, strict=True):
                    chosen = candidates.best
                    yield ProtocolAnswer(index, click, candidates, chosen)
                    clicked = [point for point, _ in clicks[index]]
                    next_click = correction(
                        candidates.masks[chosen], objects[index].mask, clicked, rngs[index], self.spread
                    )
                    if next_click is not None:
                        clicks[index].append(next_click)
                        earlier[index] = candidates
                        unfinished.append(index)
                batch = unfinished


def _clicked(clicks: list[tuple[Point, int]], box: FloatArray | None) -> Prompt:
    return Prompt(np.array([point for point, _ in clicks], np.float32), np.array([label for _, label in clicks]), box)


def batches(objects: Sequence[Object]) -> Iterator[list[int]]:
    """Yield the indices of a few objects at a time, so that the masks of their answers fit into memory."""
    size = max(_MASK_BYTES // (3 * objects[0].mask.size), 1) if objects else 1
    for start in range(0, len(objects), size):
        yield list(range(start, min(start + size, len(objects))))


def _one_click(point: Callable[[Generator, BoolArray], Point]) -> Callable[[Generator, Object], Prompt]:
    return lambda rng, target: _clicked([(point(rng, target.mask), 1)], None)


_ONCE: dict[str, OncePrompted] = {
    protocol.name: protocol
    for protocol in (
        OncePrompted("box", _BOX, lambda _, target: Prompt(box=tight_box(target.mask))),
        OncePrompted("box:jitter", _BOX, lambda rng, target: Prompt(box=jittered_box(rng, target.mask))),
        OncePrompted("click", _POINTS, _one_click(lambda _, mask: deepest_point(mask))),
        OncePrompted("click:random", _POINTS, _one_click(random_pixel)),
        OncePrompted("click:spread", _POINTS, _one_click(around_deepest_point)),
    )
}
EVERYTHING = "everything"
MOST_CLICKS = 20
UNPROMPTED = (EVERYTHING, TEXT, EXEMPLAR)
"""Protocols that do not show the objects which are to be found; objects and masks are paired."""

NAMES = (*_ONCE, *(f"{start}N" for start in CORRECTED), *UNPROMPTED)


def parse_protocols(text: str) -> list[Protocol | ConceptProtocol | None]:
    """Return the protocols of a list such as `box,click,clicks:5,everything`; None stands for `everything`.

    One that is named twice is measured once.

    Raises
    ------
    EvaluationError
        If a name is unknown, or a number of clicks is not 1 to 20.
    """
    protocols: dict[str, Protocol | ConceptProtocol | None] = {}
    for name in [part.strip() for part in text.split(",") if part.strip()]:
        if name == EVERYTHING:
            protocols[name] = None
        elif name in (TEXT, EXEMPLAR):
            protocols[name] = ByText() if name == TEXT else ByExemplar()
        elif name in _ONCE:
            protocols[name] = _ONCE[name]
        elif name.startswith(CORRECTED):
            kind, _, count = name.partition(":")
            if not count.isdigit() or not 1 <= int(count) <= MOST_CLICKS:
                raise EvaluationError(f"{kind}:N takes 1 to {MOST_CLICKS} clicks; got {name!r}.")
            spread = SPREAD if name.startswith(AFTER_SPREAD) else 0.0
            protocols[f"{kind}:{int(count)}"] = Corrected(int(count), name.startswith(AFTER_BOX), spread)
        else:
            known = ", ".join(NAMES)
            raise EvaluationError(
                f"There is no protocol {name!r}; the known ones are {known}{did_you_mean(name, NAMES)}"
            )
    if not protocols:
        raise EvaluationError(f"Name at least one protocol of {', '.join(NAMES)}.")
    return list(protocols.values())
