"""Actions in Label Studio of each way of working, at several levels of acceptance, and how they compare."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import pandas as pd

from sam_evaluation.simulation.actions import COSTS, Cost, Level, Page, Work, cost_of, works_of
from sam_evaluation.simulation.plans import ARMS, BOX, PLAIN, Plan, stops_of
from sam_evaluation.simulation.run_tables import RunTables
from sam_evaluation.simulation.summary import estimates

LEVELS = (0.8, 0.85, 0.9)
"""IoU from which an annotator might accept masks."""

BY_HAND, ONE_CLICK, ONE_BOX = "by hand", "one click, then painting", "one box, then painting"
RIVALS = {"plain": PLAIN, "hand": BY_HAND, "click": ONE_CLICK, "box": ONE_BOX}
"""What each way is compared with, by the suffix of the column `ratio_*`."""


MOST_QUICK_PROMPTS = 1
"""Most prompts on a mask of the quick page. There each click is answered alone, and one far from the mask starts a new
region (decision 022); the runs do not say which ones do."""


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
    """Return a row a page, level and way.

    Columns page, level, way; stop, after how many prompts it paints: the one with the fewest actions of those that it
    may take, for all masks; and each with `_low` and `_high`: actions, keys, clicks and drags an object, submitting
    included; ratio_plain, ratio_hand, ratio_click and ratio_box, relative to `RIVALS` on the same page with the same
    seed, thus on the same images. NaN stands for no value.
    """
    counts = tables.images[tables.images["problem"] == ""].groupby(["plan", "seed"])
    images, objects = counts.size(), counts["objects"].sum()
    rows: list[dict[str, Any]] = []
    for page, level in product(Page, levels):
        totals: dict[str, pd.DataFrame] = {}
        for way in ways:
            stops = [stop for stop in way.stops if page is Page.DEFAULT or stop <= MOST_QUICK_PROMPTS]
            by_stop = {stop: _totals(tables.actions, way.plan, level, stop, page, images) for stop in stops}
            stop = min(by_stop, key=lambda stop: float(by_stop[stop]["actions"].mean()))
            totals[way.name] = by_stop[stop]
            own = by_stop[stop].div(objects[way.plan.name], axis=0)
            place = {"page": page.value, "level": level.name, "way": way.name, "stop": stop}
            rows.append({**place, **estimates(dict(own.items()))})
        for row in rows[-len(ways) :]:
            row |= estimates(_ratios(totals, row["way"]))
    return pd.DataFrame(rows)


def stops_at(actions: pd.DataFrame, level: Level) -> dict[tuple[Page, str], int]:
    """Return after how many prompts each way paints on each page, from `actions_table`."""
    rows = actions[actions["level"] == level.name]
    return {
        (Page(page), str(way)): int(stop)
        for page, way, stop in zip(rows["page"], rows["way"], rows["stop"], strict=True)
    }


def actions_by_mask(
    tables: RunTables, ways: Sequence[Way], level: Level, stops: Mapping[tuple[Page, str], int]
) -> pd.DataFrame:
    """Return columns actions_default and actions_quick, a row of `RunTables.actions` a row, NaN where no arm made it.

    Parameters
    ----------
    tables : RunTables.
    ways : the ways of working; of two that a plan shows, the last one counts, which is the arm.
    level : Level from which masks are accepted.
    stops : see `stops_at`.
    """
    counted = pd.DataFrame(index=tables.actions.index, columns=[f"actions_{page}" for page in Page], dtype=float)
    for page, way in product(Page, ways):
        own = tables.actions[tables.actions["plan"] == way.plan.name]
        works = works_of(own.itertuples(), level, stops[page, way.name], page)
        counted.loc[own.index, f"actions_{page}"] = [cost_of(work, page).actions for work in works]
    return counted


def work_table(
    tables: RunTables, ways: Sequence[Way], level: Level, stops: Mapping[tuple[Page, str], int]
) -> pd.DataFrame:
    """Return a row a page and piece of work: its cost in keys, clicks and drags, and how often an object takes it.

    Columns page, work, keys, clicks, drags, and one a way.

    Parameters
    ----------
    tables : RunTables.
    ways : the ways of working.
    level : Level from which masks are accepted.
    stops : see `stops_at`.
    """
    parts = []
    for page in Page:
        often = {}
        for way in ways:
            own = tables.actions[tables.actions["plan"] == way.plan.name]
            work = sum(works_of(own.itertuples(), level, stops[page, way.name], page), Counter[Work]())
            labelled = tables.images[(tables.images["plan"] == way.plan.name) & (tables.images["problem"] == "")]
            work[Work.SUBMIT] = len(labelled)
            often[way.name] = {piece: work[piece] / max(int(labelled["objects"].sum()), 1) for piece in Work}
        parts += [
            {
                "page": page.value,
                "work": piece.value,
                **vars(COSTS[page][piece]),
                **{way: often[way][piece] for way in often},
            }
            for piece in Work
        ]
    return pd.DataFrame(parts)


def _totals(actions: pd.DataFrame, plan: Plan, level: Level, stop: int, page: Page, images: pd.Series) -> pd.DataFrame:
    """Return columns actions, keys, clicks and drags of all images, a row a seed."""
    own = actions[actions["plan"] == plan.name]
    counted = (_columns(cost_of(work, page)) for work in works_of(own.itertuples(), level, stop, page))
    costs = pd.DataFrame(list(counted), own.index, list(_columns(Cost())))
    totals = costs.groupby(own["seed"]).sum().reindex(images[plan.name].index, fill_value=0)
    for name, value in _columns(COSTS[page][Work.SUBMIT]).items():
        totals[name] += value * images[plan.name]
    return totals


def _columns(cost: Cost) -> dict[str, int]:
    return {"actions": cost.actions, **vars(cost)}


def _ratios(totals: Mapping[str, pd.DataFrame], way: str) -> dict[str, pd.Series]:
    own = totals[way]["actions"]
    unknown = pd.Series(float("nan"), own.index)
    return {
        f"ratio_{suffix}": own / totals[rival]["actions"].reindex(own.index) if rival in totals else unknown
        for suffix, rival in RIVALS.items()
    }
