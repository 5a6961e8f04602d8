"""Actions in Label Studio of each way of working, at several levels of acceptance, and how they compare."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from sam_evaluation.simulation.actions import COSTS, Cost, Level, Work, cost_of, work_of
from sam_evaluation.simulation.plans import ARMS, BOX, PLAIN, Plan, stops_of
from sam_evaluation.simulation.run_tables import RunTables
from sam_evaluation.simulation.summary import estimates

LEVELS = (0.8, 0.85, 0.9)
"""IoU from which an annotator might accept masks."""

BY_HAND, ONE_CLICK, ONE_BOX = "by hand", "one click, then painting", "one box, then painting"
RIVALS = {"plain": PLAIN, "hand": BY_HAND, "click": ONE_CLICK, "box": ONE_BOX}
"""What each way is compared with, by the suffix of the column `ratio_*`."""


@dataclass(frozen=True)
class Way:
    """A way of working: the run that shows it, and after how many prompts it may paint what is left of a mask."""

    name: str
    plan: Plan
    stops: tuple[int, ...]


def ways_of(arms: Sequence[str], most_clicks: int) -> list[Way]:
    """Return the ways that the runs of some arms show: what people do today, then the arms."""
    ways = []
    if PLAIN in arms:
        ways += [Way(BY_HAND, ARMS[PLAIN], (0,)), Way(ONE_CLICK, ARMS[PLAIN], (1,))]
    if BOX in arms:
        ways.append(Way(ONE_BOX, ARMS[BOX], (1,)))
    return [*ways, *(Way(arm, ARMS[arm], stops_of(most_clicks)) for arm in arms)]


def levels_of(accept: float, people: float | None = None) -> list[Level]:
    """Return the levels of the tables, all no higher than the IoU `accept` that the runs reached.

    Parameters
    ----------
    accept : IoU from which the runs accepted masks.
    people : mean IoU of two people's outlines of an object; None where nobody knows.
    """
    ious = {level for level in LEVELS if level < accept} | {accept}
    if people is not None and people < accept:
        ious.add(round(people, 2))
    return [*map(Level, sorted(ious)), Level(accept, border=True)]


def actions_table(tables: RunTables, ways: Sequence[Way], levels: Sequence[Level]) -> pd.DataFrame:
    """Return a row a level and way.

    Columns level, way; stop, after how many prompts it paints: the one with the fewest actions of those that it may
    take, for all masks; and each with `_low` and `_high`: actions, keys, clicks and drags an object, submitting
    included; ratio_plain, ratio_hand, ratio_click and ratio_box, relative to `RIVALS` with the same seed, thus on the
    same images. NaN stands for no value.
    """
    counts = tables.images[tables.images["problem"] == ""].groupby(["plan", "seed"])
    images, objects = counts.size(), counts["objects"].sum()
    rows: list[dict[str, Any]] = []
    for level in levels:
        totals: dict[str, pd.DataFrame] = {}
        for way in ways:
            by_stop = {stop: _totals(tables.actions, way.plan, level, stop, images) for stop in way.stops}
            stop = min(by_stop, key=lambda stop: float(by_stop[stop]["actions"].mean()))
            totals[way.name] = by_stop[stop]
            own = by_stop[stop].div(objects[way.plan.name], axis=0)
            rows.append({"level": level.name, "way": way.name, "stop": stop, **estimates(dict(own.items()))})
        for row in rows[-len(ways) :]:
            row |= estimates(_ratios(totals, row["way"]))
    return pd.DataFrame(rows)


def work_table(tables: RunTables, ways: Sequence[Way], level: Level, stops: Mapping[str, int]) -> pd.DataFrame:
    """Return a row a piece of work: its cost in keys, clicks and drags, and how often an object takes it in each way.

    Parameters
    ----------
    tables : RunTables.
    ways : the ways of working.
    level : Level from which masks are accepted.
    stops : after how many prompts each way paints, from `actions_table`.
    """
    often = {}
    for way in ways:
        own = tables.actions[tables.actions["plan"] == way.plan.name]
        work = sum((work_of(action, level, stops[way.name]) for action in own.itertuples()), Counter[Work]())
        labelled = tables.images[(tables.images["plan"] == way.plan.name) & (tables.images["problem"] == "")]
        work[Work.SUBMIT] = len(labelled)
        often[way.name] = {piece: work[piece] / max(int(labelled["objects"].sum()), 1) for piece in Work}
    costs = {piece: vars(COSTS[piece]) for piece in Work}
    return pd.DataFrame(
        [{"work": piece.value, **costs[piece], **{way: often[way][piece] for way in often}} for piece in Work]
    )


def _totals(actions: pd.DataFrame, plan: Plan, level: Level, stop: int, images: pd.Series) -> pd.DataFrame:
    """Return columns actions, keys, clicks and drags of all images, a row a seed."""
    own = actions[actions["plan"] == plan.name]
    costs = pd.DataFrame(list(_costs(own, level, stop)), own.index, list(_columns(Cost())))
    totals = costs.groupby(own["seed"]).sum().reindex(images[plan.name].index, fill_value=0)
    for name, value in _columns(COSTS[Work.SUBMIT]).items():
        totals[name] += value * images[plan.name]
    return totals


def _costs(actions: pd.DataFrame, level: Level, stop: int) -> Iterator[dict[str, int]]:
    for action in actions.itertuples():
        yield _columns(cost_of(work_of(action, level, stop)))


def _columns(cost: Cost) -> dict[str, int]:
    return {"actions": cost.actions, **vars(cost)}


def _ratios(totals: Mapping[str, pd.DataFrame], way: str) -> dict[str, pd.Series]:
    own = totals[way]["actions"]
    unknown = pd.Series(float("nan"), own.index)
    return {
        f"ratio_{suffix}": own / totals[rival]["actions"].reindex(own.index) if rival in totals else unknown
        for suffix, rival in RIVALS.items()
    }
