"""The type of a table in a report, and the functions that all tables share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from sam_evaluation.gap import HUMANS
from sam_evaluation.report.findings import Findings
from sam_evaluation.report.numbers import count
from sam_evaluation.report.phrases import phrase, protocol_order
from sam_evaluation.report.run_datasets import object_rule
from sam_evaluation.row_columns import CELL

LEAD = ("data set", "model and prompt")
"""The first columns of most tables."""


@dataclass(frozen=True)
class Sheet:
    """A table as a reader sees it.

    Attributes
    ----------
    title : str.
    text : str, how to read the table.
    columns : tuple of str, the headings.
    rows : tuple of rows, each with one text per column.
    lead : int, how many columns from the left name the row; the others have numbers. If it is 2 or more, the first
        column names a group of rows.
    note : str, the models, data, protocols, seed and object rule of the numbers.
    folded : bool, whether the table is shown only on demand.
    """

    title: str
    text: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    lead: int
    note: str
    folded: bool = False


def note(findings: Findings, datasets: Iterable[str] | None = None, models: Iterable[str] | None = None) -> str:
    """Return the facts that identify a number: models, data sets, protocols, seed and object rule, as one text."""
    about, settings = findings.about, findings.about["settings"]
    used = findings.models if models is None else [name for name in findings.models if name in set(models)]
    sets = findings.datasets if datasets is None else [name for name in findings.datasets if name in set(datasets)]
    versions = ", ".join(about["models"][name]["version"] for name in used)
    data = ", ".join(
        f"{name} #{about['datasets'][name]['fingerprint']} "
        f"({about['datasets'][name]['samples']:,} of {count(about['datasets'][name]['of'], 'image')})"
        for name in sets
    )
    return (
        f"Model and checkpoint: {versions}.{_pipeline(settings)} Data and hash: {data}. "
        f"Protocols: {settings['protocols']}. "
        f"Seed: {settings['seed']}. Objects: {object_rule(about)}. [ ]: 95 % interval, bootstrap over images."
    )


def _pipeline(settings: Mapping[str, Any]) -> str:
    pipeline = settings.get("pipeline")
    if not pipeline:
        return ""
    shots = f" with {pipeline['shots']} images of {Path(pipeline['examples']).name}" if pipeline["examples"] else ""
    return f" Without a prompt: pipeline {pipeline['version']}{shots}."


def make_sheet(
    findings: Findings,
    title: str,
    text: str,
    lead: Sequence[str],
    values: Sequence[str],
    rows: Iterable[tuple[str, ...]],
    *,
    datasets: Iterable[str] | None = None,
    models: Iterable[str] | None = None,
    folded: bool = False,
) -> Sheet:
    """Return a table with its note; `lead` and `values` are the headings of the naming and of the other columns."""
    return Sheet(title, text, (*lead, *values), tuple(rows), len(lead), note(findings, datasets, models), folded)


def cells_of(table: pd.DataFrame, by: Sequence[str] = CELL) -> Iterator[tuple[dict[str, Any], pd.DataFrame]]:
    """Yield each group of rows with equal values in the columns `by`, with these values by column."""
    if table.empty:
        return
    for key, frame in table.groupby(list(by), sort=False):
        yield dict(zip(by, key, strict=True)), frame


def ordered(findings: Findings, table: pd.DataFrame) -> pd.DataFrame:
    """Return a table sorted by data set, model and protocol, in the order in which they were given."""
    if table.empty:
        return table
    orders: dict[str, Callable[[str], int]] = {
        "dataset": findings.datasets.index,
        "protocol": protocol_order,
        "model": (HUMANS, *findings.models).index,
    }
    columns = [name for name in ("dataset", "model", "protocol") if name in table]
    return table.sort_values(
        columns, key=lambda column: column.map(orders[str(column.name)]), kind="stable", ignore_index=True
    )


def counts(row: dict[Any, Any]) -> tuple[str, str]:
    """Return the numbers of objects and images of a row as text."""
    return f"{row['objects']:,}", f"{row['images']:,}"


def named(row: dict[str, Any]) -> tuple[str, str]:
    """Return the columns `LEAD` of a row: "parts", "nano, with a box"."""
    return row["dataset"], row["model"] if row["model"] == HUMANS else f"{row['model']}, {phrase(row['protocol'])}"
