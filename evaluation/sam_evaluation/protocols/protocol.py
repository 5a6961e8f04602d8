"""The protocols by name, and what they yield."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Protocol as Interface

import numpy as np
from numpy.random import Generator

from sam_backend.arrays import BoolArray
from sam_backend.samples import Object
from sam_backend.segmenters import Candidates, Embedding, Prompt, Segmenter
from sam_evaluation.errors import EvaluationError
from sam_evaluation.protocols import clicks

_MASK_BYTES = 2**27
"""Bytes of full-size masks that one batch of answers may take."""


@dataclass(frozen=True, eq=False)
class Answer:
    """What a segmenter said to one object.

    Attributes
    ----------
    object : index of the object in its sample.
    click : how many clicks had been made, from 1; 0 for a box or a text.
    candidates : its masks.
    chosen : which of them serving would return.
    """

    object: int
    click: int
    candidates: Candidates
    chosen: int


class Protocol(Interface):
    """A simulated annotator."""

    @property
    def name(self) -> str:
        """As a user writes it."""

    @property
    def needs(self) -> str:
        """Kind of prompt: "box", "points" or "text"."""

    def run(
        self, segmenter: Segmenter, embedding: Embedding, objects: Sequence[Object], rng: Generator
    ) -> Iterator[Answer]:
        """Yield the answers to all objects of an image, for a few objects at a time."""


@dataclass(frozen=True)
class OncePrompted:
    """Shows each object by one prompt."""

    name: str
    needs: str
    show: Callable[[Generator, Object], Prompt]

    def run(
        self, segmenter: Segmenter, embedding: Embedding, objects: Sequence[Object], rng: Generator
    ) -> Iterator[Answer]:
        """Yield one answer an object."""
        click = 1 if self.needs == "points" else 0
        for some in _batches(objects):
            prompts = [self.show(rng, objects[index]) for index in some]
            for index, candidates in zip(some, segmenter.decode(embedding, prompts), strict=True):
                yield Answer(index, click, candidates, candidates.best)


@dataclass(frozen=True)
class Corrected:
    """Clicks in the centre, then corrects up to `count` clicks in all, the logits fed back."""

    count: int
    needs: str = "points"

    @property
    def name(self) -> str:
        """`clicks:N`."""
        return f"clicks:{self.count}"

    def run(
        self, segmenter: Segmenter, embedding: Embedding, objects: Sequence[Object], rng: Generator
    ) -> Iterator[Answer]:
        """Yield an answer an object and click; fewer clicks where a mask became perfect."""
        for some in _batches(objects):
            made = {index: [(clicks.centre(objects[index].mask), 1)] for index in some}
            earlier: dict[int, Candidates] = {}
            for click in range(1, self.count + 1):
                prompts = [_points(made[index], earlier.get(index)) for index in some]
                answers = segmenter.decode(embedding, prompts) if prompts else []
                following: list[int] = []
                for index, candidates in zip(some, answers, strict=True):
                    chosen = candidates.best
                    yield Answer(index, click, candidates, chosen)
                    places = [point for point, _ in made[index]]
                    after = clicks.correction(candidates.masks[chosen], objects[index].mask, places)
                    if after is not None:
                        made[index].append(after)
                        earlier[index] = candidates
                        following.append(index)
                some = following


def _points(made: list[tuple[clicks.Point, int]], earlier: Candidates | None) -> Prompt:
    points = np.array([point for point, _ in made], np.float32)
    labels = np.array([label for _, label in made])
    if earlier is None:
        return Prompt(points, labels)
    return Prompt(points, labels, logits=earlier.logits[earlier.best], window=earlier.window)


def _batches(objects: Sequence[Object]) -> Iterator[list[int]]:
    size = max(_MASK_BYTES // (3 * objects[0].mask.size), 1) if objects else 1
    for start in range(0, len(objects), size):
        yield list(range(start, min(start + size, len(objects))))


def _one_click(point: Callable[[Generator, BoolArray], clicks.Point]) -> Callable[[Generator, Object], Prompt]:
    return lambda rng, thing: _points([(point(rng, thing.mask), 1)], None)


_ONCE: dict[str, OncePrompted] = {
    each.name: each
    for each in (
        OncePrompted("box", "box", lambda _, thing: Prompt(box=clicks.tight_box(thing.mask))),
        OncePrompted("box:jitter", "box", lambda rng, thing: Prompt(box=clicks.jittered_box(rng, thing.mask))),
        OncePrompted("click", "points", _one_click(lambda _, mask: clicks.centre(mask))),
        OncePrompted("click:random", "points", _one_click(clicks.anywhere)),
        OncePrompted("click:spread", "points", _one_click(clicks.around_centre)),
        OncePrompted("text", "text", lambda _, thing: Prompt(text=thing.label)),
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
    found: list[Protocol | None] = []
    for name in [part.strip() for part in text.split(",") if part.strip()]:
        if name == EVERYTHING:
            found.append(None)
        elif name in _ONCE:
            found.append(_ONCE[name])
        elif name.startswith("clicks:"):
            count = name.removeprefix("clicks:")
            if not count.isdigit() or not 1 <= int(count) <= MOST_CLICKS:
                raise EvaluationError(f"clicks:N takes 1 to {MOST_CLICKS} clicks; got {name!r}.")
            found.append(Corrected(int(count)))
        else:
            nearest = get_close_matches(name, NAMES, n=1, cutoff=0.4)
            hint = f"; did you mean {nearest[0]}?" if nearest else "."
            raise EvaluationError(f"There is no protocol {name!r}; the known ones are {', '.join(NAMES)}{hint}")
    if not found:
        raise EvaluationError(f"Name at least one protocol of {', '.join(NAMES)}.")
    return found
