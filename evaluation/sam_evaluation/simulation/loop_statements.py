"""The results of a simulation in sentences, and what to keep in mind when reading them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pandas as pd

from sam_evaluation.report.numbers import PERCENT, SHARE, estimate, listed, number
from sam_evaluation.simulation.plans import ARMS, PLAIN, RANDOM
from sam_evaluation.simulation.simulation_result import SimulationResult

_WHOLE = "z,.0f"


def lead(run: SimulationResult, totals: pd.DataFrame, strategies: pd.DataFrame) -> Iterator[str]:
    """Yield the most important results in sentences.

    Parameters
    ----------
    run : SimulationResult.
    totals : table of `summary.totals`.
    strategies : table of `summary.strategies_table`.
    """
    times = f", {run.seeds} times, each time other images in another order" if run.seeds > 1 else ""
    yield f"A simulated annotator labelled {run.title}{times}, with {listed(list(run.arms))}."
    rows = totals.to_dict("records")
    plain = next((row for row in rows if row["arm"] == PLAIN), None)
    if plain:
        yield f"With plain {run.conditions.model} that took {estimate(plain, _WHOLE, prefix='clicks_')} clicks."
    for row in rows:
        if plain and row is not plain:
            saved = row["saved"]
            change = "fewer" if saved >= 0 else "more"
            yield (
                f"{row['arm']} took {estimate(row, _WHOLE, prefix='clicks_')}, {number(abs(saved), PERCENT)} {change}: "
                f"{estimate(row, SHARE, prefix='ratio_')} times as many.{_doubt(row)}"
            )
    by_name = {row["strategy"]: row for row in strategies.to_dict("records")}
    for name, row in by_name.items():
        if name == RANDOM:
            continue
        if math.isnan(row["needed"]):
            yield f"Not with every seed does {name} reach the final IoU of random."
        else:
            yield f"{name} reaches the final IoU of random {_needed(row)}; random itself {_needed(by_name[RANDOM])}."


def cautions(run: SimulationResult) -> Iterator[str]:
    """Yield what limits the results."""
    habits = run.conditions.habits
    yield (
        "The annotator is simulated from the ground truth: it clicks where the mask is most wrong, never misses or "
        "overlooks anything, and knows the IoU. Looking at an image costs nothing. Clicks are not seconds."
    )
    yield (
        "Painting is simulated without a slip and with knowledge of the object's border to the pixel. People need more "
        "strokes, so painting by hand is counted too low rather than too high. A drag counts as much as a key, but "
        "takes longer."
    )
    images = run.tables.images
    painted = images["painted"].sum() / max(images["objects"].sum(), 1)
    if painted > 0.2:
        yield (
            f"{number(painted, PERCENT)} of all masks were painted by hand in the end, at {habits.painting} clicks "
            f"each, so the totals depend on that number and on the required IoU of {habits.accept:g}."
        )
    if run.seeds == 1:
        yield "One seed has no interval: other images in another order may give another result."
    elif run.seeds < 5:
        yield f"An interval over {run.seeds} seeds is wide: so few seeds say little about how much they differ."
    if any(ARMS[arm].strategy != RANDOM for arm in run.arms):
        yield (
            "+ranking labels the same images as the other arms in the end, but in another order: before the end, its "
            "clicks are those of other images, often of harder ones."
        )


def _doubt(row: dict[Any, Any]) -> str:
    """Return a sentence if the interval includes no difference."""
    if row["ratio_low"] > 1 or row["ratio_high"] < 1:
        return ""
    return " A difference from plain is not shown."


def _needed(row: dict[Any, Any]) -> str:
    return f"after {estimate(row, _WHOLE, prefix='needed_')} images"
