"""The tasks of a window: what is meant, the wrong mask that clicks start from, and whether a click comes first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from sam_backend.arrays import BoolArray
from sam_backend.segmenters.refiner.guidance import WINDOW, border_distance
from sam_research.refiner.spoiling import any_region, as_drawn, cut, spoil


@dataclass(frozen=True)
class TaskMix:
    """What is drawn in a window.

    Attributes
    ----------
    tasks : int, targets in a window.
    local_share : share of windows along an object instead of around it.
    thin_share : share of windows along something long and thin, where an image has it.
    free_share : share of targets that follow nothing in the image.
    drawn_share : share of targets drawn as another person would.
    empty_share : share of tasks that begin without a mask.
    continued_share : share of local tasks whose mask ends half way, to be continued without a click.
    answer_share : share of tasks that begin with an answer of a model, where there is one.
    polish_share : share of tasks whose mask is to be made better before the first click.
    """

    tasks: int = 4
    local_share: float = 0.35
    thin_share: float = 0.0
    free_share: float = 0.04
    drawn_share: float = 0.4
    empty_share: float = 0.08
    continued_share: float = 0.25
    answer_share: float = 0.6
    polish_share: float = 0.12


def draw_task(
    rng: Generator,
    mix: TaskMix,
    fitting: Sequence[tuple[int, BoolArray]],
    choice: int,
    answers: Sequence[BoolArray],
    is_local: bool,
) -> tuple[BoolArray, BoolArray, bool]:
    """Return a target (S, S), the mask that is corrected, and whether the annotator clicks on it at once.

    Parameters
    ----------
    rng : Generator.
    mix : TaskMix.
    fitting : the objects in the window, each with its index in the image.
    choice : int, which of them is the target.
    answers : the answers of a model to prompts for it.
    is_local : bool, whether the window is along an object instead of around it.
    """
    target = fitting[choice][1]
    if rng.random() < mix.free_share:
        target, answers = any_region(rng, WINDOW), ()
    elif rng.random() < mix.drawn_share:
        target = as_drawn(rng, target)
    if rng.random() < mix.empty_share:
        return target, np.zeros_like(target), True
    if is_local and rng.random() < mix.continued_share:
        return target, cut(rng, target), False
    if answers and rng.random() < mix.answer_share:
        return target, answers[int(rng.integers(len(answers)))], rng.random() >= mix.polish_share
    area = int(target.sum())
    others = [
        mask
        for index, (_, mask) in enumerate(fitting)
        if index != choice and int((mask & target).sum()) <= 0.3 * min(int(mask.sum()), area)
    ]
    mask = spoil(rng, target, others)
    near = int((mask & target).sum()) > 0.4 * int((mask | target).sum())
    return target, mask, not near or rng.random() >= mix.polish_share


def draw_thin_task(
    rng: Generator,
    mix: TaskMix,
    fitting: Sequence[tuple[int, BoolArray]],
    choice: int,
    answers: Sequence[BoolArray],
    is_local: bool,
) -> tuple[BoolArray, BoolArray, bool]:
    """Return what `draw_task` returns for something long and thin: not there yet, ending half way, or too thick."""
    kind, target = rng.random(), fitting[choice][1]
    if kind < 0.3:
        return target, np.zeros_like(target), True
    if kind < 0.55:
        return target, cut(rng, target), bool(rng.random() < 0.6)
    if kind < 0.8:
        mask = border_distance(target) + rng.uniform(0.5, 7.0) > 0
        return target, cut(rng, mask) if rng.random() < 0.3 else mask, True
    return draw_task(rng, mix, fitting, choice, answers, is_local)
