"""The report of a simulation: `report.html`, `figures/`, `summary.json`, and the rows as CSV."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from sam_backend.files import write_whole
from sam_evaluation.csv_text import csv_text
from sam_evaluation.report.numbers import count
from sam_evaluation.report.page import Drawn, template
from sam_evaluation.report.words import Words
from sam_evaluation.report.write import write_text
from sam_evaluation.simulation import summary
from sam_evaluation.simulation.action_sheets import action_sheets, action_statement
from sam_evaluation.simulation.action_tables import (
    actions_by_mask,
    actions_table,
    levels_of,
    stops_at,
    ways_of,
)
from sam_evaluation.simulation.actions import Level
from sam_evaluation.simulation.learning_curves import charts
from sam_evaluation.simulation.loop_sheets import sheets
from sam_evaluation.simulation.loop_statements import cautions, lead
from sam_evaluation.simulation.plans import ARMS
from sam_evaluation.simulation.simulation_result import SimulationResult

_TEMPLATE = "simulation.html.j2"
_STEPS = ("reached", "borders")


def write_report(run: SimulationResult, out: Path) -> dict[str, Any]:
    """Write the report and all its files into a folder; older ones are replaced.

    Returns
    -------
    dict
        The content of `summary.json`.
    """
    totals = summary.totals(run.tables, run.arms)
    strategies = summary.strategies_table(run.tables, run.strategies)
    fates = summary.fates(run.tables, run.arms)
    found = summary.found_by_size(run.tables, run.arms)
    levels = summary.by_accept(run.tables, run.arms, run.conditions.habits.accept)
    habits = run.conditions.habits
    ways = ways_of(run.arms, habits.most_clicks)
    accepted = levels_of(habits.accept, None if run.people is None else run.people["value"])
    actions = actions_table(run.tables, ways, accepted)
    note = _note(run)
    figures = [
        Drawn(run.card.title, chart, f"{chart.kind}.png", chart.png())
        for chart in charts(run.tables, run.arms, run.strategies, levels, run.title)
    ]
    for figure in figures:
        write_whole(out / "figures" / figure.file, figure.png, private=False)
    context = {
        "run": run,
        "habits": habits,
        "words": Words((*action_statement(run, actions), *lead(run, totals, strategies)), (), tuple(cautions(run))),
        "sheets": [
            *action_sheets(run, actions, ways, accepted, note),
            *(sheet for sheet in sheets(run, totals, levels, strategies, fates, found, note) if sheet.rows),
        ],
        "figures": figures,
        "findings": {"datasets": [run.card.title]},
        "galleries": [],
        "broken": _broken(run),
        "note": note,
    }
    level = Level(habits.accept)
    counted = actions_by_mask(run.tables, ways, level, stops_at(actions, level))
    for name, table in (("images", run.tables.images), ("actions", _flat(run.tables.actions).join(counted))):
        write_text(out / f"{name}.csv", csv_text(table))
    write_text(out / "quality.csv", csv_text(run.tables.quality))
    write_text(out / "tunings.csv", csv_text(run.tables.tunings))
    content = {
        "data": run.data,
        "data_hash": run.fingerprint,
        "model": run.version,
        "seeds": run.seeds,
        "conditions": asdict(run.conditions),
        "people": run.people,
        "arms": _records(totals),
        "actions": _records(actions),
        "accept": _records(levels),
        "proposals": _records(fates),
        "found": _records(found),
        "strategies": _records(strategies),
    }
    write_text(out / "summary.json", json.dumps(content, indent=1))
    write_text(out / "report.html", template(_TEMPLATE, "sam_evaluation", "simulation").render(context))
    return content


def _note(run: SimulationResult) -> str:
    habits, conditions = run.conditions.habits, run.conditions
    below = "redrawn" if habits.redraw else "corrected"
    tuned = (
        f" Tuned every {conditions.tune_every} images, {conditions.tune_steps} steps at most."
        if any(ARMS[arm].refiner or ARMS[arm].finetune for arm in run.arms)
        else ""
    )
    return (
        f"Model and checkpoint: {run.version}. Data and hash: {run.data} #{run.fingerprint}, measured on "
        f"{count(run.measured, 'image')}. Accepted from IoU {habits.accept:g}, painted after {habits.most_clicks} "
        f"clicks for {habits.painting} more; below, proposals are {below}.{tuned} "
        f"Seeds: 0 to {run.seeds - 1}. [ ]: 95 % interval over seeds, Student's t."
    )


def _flat(actions: pd.DataFrame) -> pd.DataFrame:
    """Return the actions with texts instead of sequences."""
    numbers = {name: actions[name].map(lambda values: " ".join(f"{value:g}" for value in values)) for name in _STEPS}
    painted = actions["paintings"].map(lambda made: " ".join(f"{painting.after}:{painting.tools}" for painting in made))
    return actions.assign(**numbers, paintings=painted)


def _broken(run: SimulationResult) -> list[dict[str, str]]:
    rows = run.tables.images
    broken = rows[rows["problem"] != ""].drop_duplicates("image")
    return [
        {"dataset": run.card.title, "sample": str(row["image"]), "reason": str(row["problem"])}
        for row in broken.to_dict("records")
    ]


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows as JSON objects, with null instead of NaN."""
    records: list[dict[str, Any]] = json.loads(table.to_json(orient="records"))
    return records
