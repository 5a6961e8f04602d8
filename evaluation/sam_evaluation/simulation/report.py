"""The report of a simulation: `report.html`, `figures/`, `summary.json`, and the rows as CSV."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from sam_backend.files import write_whole
from sam_evaluation.datasets.dataset import DatasetCard
from sam_evaluation.report.numbers import CLICKS, NOTHING, PERCENT, SHARE, count, estimate, listed, number
from sam_evaluation.report.page import Drawn, template
from sam_evaluation.report.sheets import Sheet
from sam_evaluation.report.words import Words
from sam_evaluation.report.write import write_text
from sam_evaluation.simulation import summary
from sam_evaluation.simulation.figures import charts
from sam_evaluation.simulation.loop import Conditions
from sam_evaluation.simulation.plans import ARMS, PLAIN, RANDOM
from sam_evaluation.simulation.tables import ALL, Tables

_TEMPLATE = "simulation.html.j2"
_WHOLE = "z,.0f"


@dataclass(frozen=True, eq=False)
class Simulated:
    """A finished simulation.

    Attributes
    ----------
    tables : all that happened.
    arms, strategies : by name.
    seeds : how many.
    conditions : that it ran under.
    card : of the data set.
    data : as the user named it.
    stamp : changes with its files.
    measured : how many images quality was measured on.
    version : of the model that ships.
    """

    tables: Tables
    arms: Sequence[str]
    strategies: Sequence[str]
    seeds: int
    conditions: Conditions
    card: DatasetCard
    data: str
    stamp: str
    measured: int
    version: str

    @property
    def title(self) -> str:
        """What was labelled, for a heading."""
        return f"{count(self.conditions.budget, 'image')} of {self.card.title.partition(',')[0]}"


def write_report(run: Simulated, out: Path) -> dict[str, Any]:
    """Write the report and all its files; older ones are replaced.

    Returns
    -------
    dict
        What `summary.json` holds.
    """
    totals = summary.totals(run.tables, run.arms)
    strategies = summary.strategies_table(run.tables, run.strategies)
    fates = summary.fates(run.tables, run.arms)
    levels = summary.by_accept(run.tables, run.arms, run.conditions.habits.accept)
    note = _note(run)
    figures = [
        Drawn(run.card.title, chart, f"{chart.kind}.png", chart.png())
        for chart in charts(run.tables, run.arms, run.strategies, levels, run.title)
    ]
    for figure in figures:
        write_whole(out / "figures" / figure.file, figure.png)
    filling = {
        "run": run,
        "habits": run.conditions.habits,
        "words": Words(tuple(lead(run, totals, strategies)), (), tuple(_cautions(run))),
        "sheets": [sheet for sheet in _sheets(run, totals, levels, strategies, fates, note) if sheet.rows],
        "figures": figures,
        "found": {"datasets": [run.card.title]},
        "galleries": [],
        "broken": _broken(run),
        "note": note,
    }
    reached = run.tables.actions["reached"].map(lambda ious: " ".join(f"{iou:g}" for iou in ious))
    for name, table in (("images", run.tables.images), ("actions", run.tables.actions.assign(reached=reached))):
        write_text(out / f"{name}.csv", table.to_csv(index=False))
    write_text(out / "quality.csv", run.tables.quality.to_csv(index=False))
    write_text(out / "tunings.csv", run.tables.tunings.to_csv(index=False))
    told = {
        "data": run.data,
        "data_hash": run.stamp,
        "model": run.version,
        "seeds": run.seeds,
        "conditions": asdict(run.conditions),
        "arms": _records(totals),
        "accept": _records(levels),
        "proposals": _records(fates),
        "strategies": _records(strategies),
    }
    write_text(out / "summary.json", json.dumps(told, indent=1))
    write_text(out / "report.html", template(_TEMPLATE, "sam_evaluation", "simulation").render(filling))
    return told


def lead(run: Simulated, totals: pd.DataFrame, strategies: pd.DataFrame) -> Iterator[str]:
    """Yield the most important results in sentences."""
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
                f"{estimate(row, SHARE, prefix='ratio_')} times as many.{_surely(row)}"
            )
    of = {row["strategy"]: row for row in strategies.to_dict("records")}
    for name, row in of.items():
        if name == RANDOM:
            continue
        if math.isnan(row["needed"]):
            yield f"Not with every seed does {name} reach what random has learnt at the end."
        else:
            yield f"What random has learnt at the end, {name} has {_needed(row)}; random itself {_needed(of[RANDOM])}."


def _surely(row: dict[Any, Any]) -> str:
    """Say where an interval holds no difference as well."""
    if row["ratio_low"] > 1 or row["ratio_high"] < 1:
        return ""
    return " That it differs from plain at all is not shown."


def _needed(row: dict[Any, Any]) -> str:
    return f"after {estimate(row, _WHOLE, prefix='needed_')} images"


def _cautions(run: Simulated) -> Iterator[str]:
    habits = run.conditions.habits
    yield (
        "The annotator is simulated from the ground truth: it clicks where the mask is most wrong, never misses, never "
        "overlooks, and knows the IoU. Looking costs it nothing. Clicks are not seconds."
    )
    if not habits.redraw:
        yield (
            "Label Studio does not tell a backend which region a click is about. A proposal that needs correction is "
            "counted as though it did; with --redraw it is deleted and outlined anew."
        )
    images = run.tables.images
    painted = images["painted"].sum() / max(images["objects"].sum(), 1)
    if painted > 0.2:
        yield (
            f"{number(painted, PERCENT)} of all masks were painted by hand in the end, at {habits.painting} clicks "
            f"each, so that totals hang on that number and on the IoU of {habits.accept:g} that is asked for."
        )
    if run.seeds == 1:
        yield "One seed has no interval: another order of other images may tell something else."
    elif run.seeds < 5:
        yield f"An interval of {run.seeds} seeds is wide, for so few say little of how much they differ."
    if any(ARMS[arm].strategy != RANDOM for arm in run.arms):
        yield (
            "+ranking labels the same images as the others in the end, but not at the same time: before the end, its "
            "clicks are those of other images, often of harder ones."
        )


def _sheets(
    run: Simulated,
    totals: pd.DataFrame,
    levels: pd.DataFrame,
    strategies: pd.DataFrame,
    fates: pd.DataFrame,
    note: str,
) -> Iterator[Sheet]:
    yield _sheet(
        "Clicks",
        "Clicks in all; against plain on the same images; and the same with one click more for each label that no "
        "proposal brought. Pixel IoU is the memory's at the end, on images that are never labelled.",
        "arm",
        totals,
        (
            *(("clicks", "clicks", _WHOLE), ("per_object", "an object", CLICKS), ("ratio", "times plain", SHARE)),
            ("labels_ratio", "times plain, with labels", SHARE),
            *(("painted", "painted by hand", PERCENT), ("pixel_iou", "pixel IoU", SHARE)),
        ),
        note,
    )
    yield _by_accept(run, levels, note)
    yield _sheet(
        "How proposals fared",
        "Accepted as they were, corrected by clicks, or deleted: shares of the proposals. Missed: share of the objects "
        "that nothing was proposed for. Another class: share of those kept.",
        "arm",
        fates,
        (
            ("proposals", "proposals an image", CLICKS),
            *((name, name, PERCENT) for name in ("accepted", "corrected", "deleted", "missed")),
            ("relabelled", "another class", PERCENT),
        ),
        note,
    )
    yield _by_score(run, note)
    yield _sheet(
        "What to label next",
        "Each strategy by itself, with the memory and without tuning. IoU is the memory's, mean over classes, on "
        "images that are never labelled. The last column but one is how many images it needs for what random has at "
        "the end; a dash where one of the seeds never got there.",
        "strategy",
        strategies,
        (
            *(("start", "IoU after the first", SHARE), ("half", "after half", SHARE), ("end", "at the end", SHARE)),
            *(("needed", "images needed", _WHOLE), ("clicks", "clicks in all", _WHOLE)),
        ),
        note,
    )
    yield _tunings(run, note)


def _sheet(
    title: str, text: str, key: str, table: pd.DataFrame, columns: Sequence[tuple[str, str, str]], note: str
) -> Sheet:
    rows = tuple(
        (str(row[key]), *(estimate(row, style, prefix=f"{name}_") for name, _, style in columns))
        for row in table.to_dict("records")
    )
    return Sheet(title, text, (key, *(head for _, head, _ in columns)), rows, 1, note)


def _by_accept(run: Simulated, levels: pd.DataFrame, note: str) -> Sheet:
    """Tell of each arm the clicks an object, and times plain, by the IoU from which a mask is accepted."""
    asked = [f"IoU {level:g}" for level in levels["accept"].unique()]
    rows = []
    for arm in run.arms:
        own = levels[levels["arm"] == arm].to_dict("records")
        ratios = [
            "" if arm == PLAIN or math.isnan(row["ratio"]) else f"; {estimate(row, prefix='ratio_')}" for row in own
        ]
        rows.append(
            (arm, *(f"{number(row['per_object'], CLICKS)}{ratio}" for row, ratio in zip(own, ratios, strict=True)))
        )
    return Sheet(
        "Clicks by the IoU that is asked for",
        "Clicks an object, and times plain, of an annotator who accepts masks from a lower IoU on: the same clicks on "
        f"the same masks, counted until then. The loop learnt what was accepted at {run.conditions.habits.accept:g}.",
        ("arm", *asked),
        tuple(rows),
        1,
        note,
    )


def _by_score(run: Simulated, note: str) -> Sheet:
    arms = [arm for arm in run.arms if ARMS[arm].memory]
    rows = []
    for arm in arms[:1]:
        for row in summary.fates_by_score(run.tables, arm).to_dict("records"):
            shares = (number(row[name], PERCENT) for name in ("accepted", "corrected", "deleted"))
            rows.append((f"from {row['score']:g}", f"{row['proposals']:,}", *shares))
    return Sheet(
        "Proposals by score",
        f"What became of the proposals of {listed(arms[:1])}, all seeds together: where most are deleted, it would be "
        "better not to show them.",
        ("score", "proposals", "accepted", "corrected", "deleted"),
        tuple(rows),
        1,
        note,
        folded=True,
    )


def _tunings(run: Simulated, note: str) -> Sheet:
    """Tell of each training in how many seeds it was promoted, and what the model that served then answers."""
    rows = []
    quality = run.tables.quality[run.tables.quality["label"] == ALL]
    for arm in run.arms:
        plan = ARMS[arm].name
        own, tried = (table[table["plan"] == plan] for table in (quality, run.tables.tunings))
        for images in [own["images"].min(), *sorted(tried["images"].unique())] if len(tried) else []:
            here, made = (table[table["images"] == images] for table in (own, tried))
            means = (number(float(here[prompt].mean())) for prompt in ("box", "click"))
            passed = f"{int(made['passed'].sum())} of {len(made)}" if len(made) else NOTHING
            rows.append((f"{arm}, after {images}", passed, *means))
    return Sheet(
        "Tuning",
        "In how many seeds the gate let the tuned model serve, and the mean IoU of what then served, by a tight box "
        "and by one click, on images that are never labelled. Reasons are in tunings.csv.",
        ("images", "promoted", "box", "click"),
        tuple(rows),
        1,
        note,
    )


def _note(run: Simulated) -> str:
    habits, conditions = run.conditions.habits, run.conditions
    below = "redrawn" if habits.redraw else "corrected"
    tuned = (
        f" Tuned every {conditions.tune_every} images, {conditions.tune_steps} steps at most."
        if any(ARMS[arm].finetune for arm in run.arms)
        else ""
    )
    return (
        f"Model and checkpoint: {run.version}. Data and hash: {run.data} #{run.stamp}, measured on "
        f"{count(run.measured, 'image')}. Accepted from IoU {habits.accept:g}, painted after {habits.most_clicks} "
        f"clicks for {habits.painting} more; below, proposals are {below}.{tuned} "
        f"Seeds: 0 to {run.seeds - 1}. [ ]: 95 % interval over seeds, Student's t."
    )


def _broken(run: Simulated) -> list[dict[str, str]]:
    rows = run.tables.images
    some = rows[rows["problem"] != ""].drop_duplicates("image")
    return [
        {"dataset": run.card.title, "sample": str(row["image"]), "reason": str(row["problem"])}
        for row in some.to_dict("records")
    ]


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return rows as JSON has them, with null where there is no number."""
    found: list[dict[str, Any]] = json.loads(table.to_json(orient="records"))
    return found
