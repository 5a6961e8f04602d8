"""The tables that compare a model: with natural images, with people, and with the requirements of a line."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pandas as pd

from sam_evaluation.gap import ALL_INDUSTRIAL
from sam_evaluation.report import numbers
from sam_evaluation.report.findings import Findings, records
from sam_evaluation.report.numbers import DIFFERENCE, PERCENT, estimate, number
from sam_evaluation.report.phrases import protocol_order
from sam_evaluation.report.sheet import LEAD, Sheet, cells_of, counts, make_sheet, named, ordered
from sam_evaluation.row_columns import CELL, METRICS


def gap_sheet(findings: Findings) -> Sheet:
    """Return the table of industrial against natural images."""
    rows, names = [], []
    for cell, frame in cells_of(_ordered_gap(findings), ("dataset", "model", "protocol")):
        names = list(frame["metric"])
        first = frame.iloc[0]
        cells = [
            (number(row["industrial"]), number(row["natural"]), estimate(row, DIFFERENCE)) for row in records(frame)
        ]
        numbers_of_objects = (f"{first[name]:,}" for name in ("industrial_objects", "natural_objects"))
        rows.append((*named(cell), *(text for triple in cells for text in triple), *numbers_of_objects))
    natural = ", ".join(sorted(findings.natural & set(findings.datasets)))
    return make_sheet(
        findings,
        f"Industrial against natural images ({natural})",
        "Means and their difference; below 0, masks are worse on industrial images. In “all industrial” every data set "
        "has the same weight.",
        LEAD,
        (
            *(f"{METRICS[name].title}{what}" for name in names for what in ("", ", natural", ", difference")),
            *("objects", "natural objects"),
        ),
        rows,
    )


def _ordered_gap(findings: Findings) -> pd.DataFrame:
    """Return the table of the gap, sorted; all industrial data sets together come first."""
    if findings.gap.empty:
        return findings.gap
    orders: dict[str, Callable[[str], int]] = {
        "dataset": (ALL_INDUSTRIAL, *findings.datasets).index,
        "model": findings.models.index,
        "protocol": protocol_order,
    }
    return findings.gap.sort_values(
        list(orders), key=lambda column: column.map(orders[str(column.name)]), kind="stable", ignore_index=True
    )


def agreement_sheet(findings: Findings) -> Sheet:
    """Return the table of models against people."""
    rows, names = [], []
    for cell, frame in cells_of(ordered(findings, findings.agreement)):
        names = list(frame["metric"])
        cells = [(estimate(row), estimate(row, DIFFERENCE, prefix="difference_")) for row in records(frame)]
        rows.append((*named(cell), *(text for pair in cells for text in pair), *counts(records(frame)[0])))
    return make_sheet(
        findings,
        "Against people",
        "How well the outlines of several people agree on the same images (“objects” are pairs there), and how much "
        "better or worse a model is.",
        LEAD,
        (*(f"{METRICS[name].title}{what}" for name in names for what in ("", ", difference")), "objects", "images"),
        rows,
        datasets=findings.agreement["dataset"] if len(findings.agreement) else (),
    )


def requirement_sheets(findings: Findings) -> Iterator[Sheet]:
    """Yield the tables of the requirements, over all objects and by class; nothing without requirements."""
    table = ordered(findings, findings.requirements)
    if table.empty:
        return
    overall = table[table["label"] == ""]
    conditions = list(dict.fromkeys(overall["condition"]))
    rows = []
    for cell, frame in cells_of(overall):
        of = {row["condition"]: row for row in records(frame) if row["objects"]}
        if of:
            cells = (_share_met(of[name]) if name in of else numbers.NOTHING for name in conditions)
            rows.append((*named(cell), *cells, *counts(max(of.values(), key=lambda row: int(row["objects"])))))
    yield make_sheet(
        findings,
        "Against the requirements",
        "The share of the objects that meet a requirement, and the number that fail it.",
        LEAD,
        (*("all of them" if name == "all" else name for name in conditions), "objects", "images"),
        rows,
        datasets=overall["dataset"],
        models=overall["model"],
    )
    together = overall[overall["condition"] == "all"].sort_values("value", ascending=False, kind="stable")
    best = together.drop_duplicates(["dataset", "model"])[list(CELL)]
    by_class = table[(table["label"] != "") & (table["condition"] == "all")].merge(best, on=list(CELL))
    yield make_sheet(
        findings,
        "What fails: all requirements together, by class",
        "The classes with the smallest share of objects that meet all requirements come first. For each model, the "
        "prompt is the one with which most objects meet them.",
        (*LEAD, "class"),
        ("meet all", "objects", "images"),
        (
            (*named(row), row["label"], _share_met(row), *counts(row))
            for _, frame in cells_of(by_class)
            for row in records(frame.sort_values("value", kind="stable"))
        ),
        datasets=by_class["dataset"],
        models=by_class["model"],
    )


def _share_met(row: dict[Any, Any]) -> str:
    """Return the share that meets a condition, and the number that does not, as text."""
    failing = round(row["objects"] * (1 - row["value"]))
    result = "met" if row["met"] else f"{failing:,} of {row['objects']:,} fail"
    return f"{estimate(row, PERCENT)}, {result}"
