"""What is compared: arms and strategies by name, the plans that they stand for, and the rounds of a run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from sam_backend.errors import BadRequestError
from sam_backend.memory.ranking.strategies import DEFAULT, known_strategies
from sam_backend.names import did_you_mean

RANDOM = "random"
"""The order of the stream itself."""

_STOPS = (1, 2, 3, 5)

_GROWTH = 3
"""In each round the number of labelled images grows by one part in so many."""


@dataclass(frozen=True)
class Plan:
    """A way of labelling.

    Attributes
    ----------
    memory : whether images come with proposals of the example memory.
    finetune : whether the model is tuned during the run.
    strategy : name of the strategy that chooses the next images.
    box : whether a box shows an object to the model, instead of a click.
    proposer : whether a proposer is trained during the run, and proposes in the memory's place when it is better.
    refiner : whether the refiner is tuned during the run, and corrects masks when it is better.
    """

    memory: bool = False
    finetune: bool = False
    strategy: str = RANDOM
    box: bool = False
    proposer: bool = False
    refiner: bool = False

    @property
    def name(self) -> str:
        """A unique name that is also a valid folder name."""
        parts = [part for part in ("memory", "finetune", "box", "proposer", "refiner") if getattr(self, part)]
        return "-".join([*(parts or ["plain"]), self.strategy])


PLAIN, BOX, PROPOSER = "plain", "box", "+proposer"

ARMS: dict[str, Plan] = {
    PLAIN: Plan(),
    BOX: Plan(box=True),
    "+memory": Plan(memory=True),
    "+finetune": Plan(memory=True, finetune=True),
    "+ranking": Plan(memory=True, finetune=True, strategy=DEFAULT),
    PROPOSER: Plan(memory=True, proposer=True),
    "+refiner": Plan(memory=True, refiner=True),
    "box+memory": Plan(memory=True, box=True),
    "box+proposer": Plan(memory=True, box=True, proposer=True),
}
"""Each arm that begins with a plus includes what those before it include; `+proposer` and `+refiner` only the memory.

In those that begin with `box`, a box shows what was not proposed.
"""


def parse_arms(text: str) -> list[str]:
    """Return the arms of a list such as `plain,+memory`, in the order of `ARMS`; the plus may be left out.

    Raises
    ------
    BadRequestError
        If there is no such arm, or if the list is empty.
    """
    wanted = [name if name in ARMS else f"+{name.removeprefix('+')}" for name in _split(text)]
    for name in wanted:
        if name not in ARMS:
            raise BadRequestError(_unknown("arm", name.removeprefix("+"), list(ARMS)))
    if not wanted:
        raise BadRequestError(f"Name at least one arm of {', '.join(ARMS)}.")
    return [name for name in ARMS if name in wanted]


def parse_strategies(text: str) -> list[str]:
    """Return the strategies of a list such as `gain,random`, in the order of `known_strategies`; it may be empty.

    If any is named, `random` is added, because the others are compared with it.

    Raises
    ------
    BadRequestError
        If there is no such strategy.
    """
    wanted = _split(text)
    known = known_strategies()
    for name in wanted:
        if name not in known:
            raise BadRequestError(_unknown("strategy", name, known))
    return [name for name in known if name in wanted or (wanted and name == RANDOM)]


def plans_of(arms: Sequence[str], strategies: Sequence[str]) -> list[Plan]:
    """Return the plans of arms and strategies, each once: `+memory` and the strategy `random` share a plan."""
    return list(dict.fromkeys([*(ARMS[name] for name in arms), *map(plan_of_strategy, strategies)]))


def plan_of_strategy(name: str) -> Plan:
    """Return the plan that measures a strategy by itself: with the memory, without tuning."""
    return Plan(memory=True, strategy=name)


def rounds(budget: int, tune_every: int) -> list[int]:
    """Return the numbers of labelled images after which a round ends.

    At the end of a round the memory learns, quality is measured, and the next images are chosen. A round ends when the
    number of labelled images has grown by a third, before each tuning, and at the end: a fourth image improves a
    memory of three, but hardly a memory of a hundred.

    Examples
    --------
    >>> rounds(20, tune_every=10)
    [1, 2, 3, 4, 6, 8, 10, 11, 15, 20]
    """
    ends, reached = set(range(tune_every, budget, tune_every)), 0
    while reached < budget:
        reached = min(reached + max(math.ceil(reached / _GROWTH), 1), budget)
        ends.add(reached)
    return sorted(ends)


def stops_of(most_clicks: int, *, by_hand: bool = False) -> tuple[int, ...]:
    """Return after how many prompts an annotator might paint the rest, at most `most_clicks`.

    Parameters
    ----------
    most_clicks : number of clicks after which it is painted in any case.
    by_hand : whether 0 is one of them: everything is painted.

    Examples
    --------
    >>> stops_of(10)
    (1, 2, 3, 5, 10)
    """
    return (*((0,) if by_hand else ()), *(stop for stop in _STOPS if stop < most_clicks), most_clicks)


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _unknown(kind: str, name: str, known: Sequence[str]) -> str:
    return f"There is no {kind} {name!r}; known are {', '.join(known)}{did_you_mean(name, known)}"
