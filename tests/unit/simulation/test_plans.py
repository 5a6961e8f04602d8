"""The plans of arms and strategies, and the rounds of a run."""

from __future__ import annotations

from itertools import pairwise

import pytest

from sam_backend.errors import BadRequestError
from sam_evaluation.simulation.plans import ARMS, Plan, parse_arms, parse_strategies, plans_of, rounds


def test_arms_are_named_with_or_without_their_plus_and_come_in_their_order() -> None:
    assert parse_arms("+ranking, memory,plain") == ["plain", "+memory", "+ranking"]


def test_each_arm_with_a_plus_includes_those_before_it() -> None:
    assert ARMS["box"] == Plan(box=True)
    assert ARMS["+proposer"] == Plan(memory=True, proposer=True)
    assert ARMS["+refiner"] == Plan(memory=True, refiner=True)
    assert ARMS["box+memory"] == Plan(memory=True, box=True)
    assert ARMS["box+proposer"] == Plan(memory=True, box=True, proposer=True)
    plans = [ARMS[arm] for arm in ("plain", "+memory", "+finetune", "+ranking")]
    has = [(plan.memory, plan.finetune, plan.strategy != "random") for plan in plans]
    assert has == [(False, False, False), (True, False, False), (True, True, False), (True, True, True)]


@pytest.mark.parametrize(
    ("parse", "text", "sentence"),
    [
        (parse_arms, "memry", r"no arm 'memry'; known are plain, box, \+memory, .*did you mean \+memory\?"),
        (parse_arms, " , ", r"at least one arm of plain, box, \+memory"),
        (parse_strategies, "gian", r"no strategy 'gian'; known are gain, .*did you mean gain\?"),
    ],
)
def test_an_unknown_name_is_an_error_that_lists_the_known_ones(parse: object, text: str, sentence: str) -> None:
    with pytest.raises(BadRequestError, match=sentence):
        parse(text)  # type: ignore[operator]


def test_random_is_always_among_the_compared_strategies() -> None:
    assert parse_strategies("gain") == ["gain", "random"]
    assert parse_strategies("") == []


def test_random_has_the_plan_of_memory_and_runs_once() -> None:
    plans = plans_of(["plain", "+memory"], ["gain", "random"])
    assert plans == [Plan(), Plan(memory=True), Plan(memory=True, strategy="gain")]
    assert len({plan.name for plan in (*plans, ARMS["box"])}) == 4


def test_rounds_grow_by_a_third_and_end_before_each_tuning_and_at_the_end() -> None:
    ends = rounds(200, tune_every=50)
    assert ends[:6] == [1, 2, 3, 4, 6, 8]
    assert {50, 100, 150, 200} <= set(ends)
    assert all(after <= max(before + 1, 4 / 3 * before + 1) for before, after in pairwise(ends))
    assert rounds(1, 50) == [1]
