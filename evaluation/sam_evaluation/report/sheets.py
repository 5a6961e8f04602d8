"""Tables as a reader sees them: rounded, values with their intervals, each with what it was made from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from sam_evaluation.gap import ALL_INDUSTRIAL, HUMANS
from sam_evaluation.report import numbers
from sam_evaluation.report.findings import Findings, phrase, protocol_order
from sam_evaluation.report.numbers import CLICKS, DIFFERENCE, PERCENT, PIXELS, count, estimate, number
from sam_evaluation.report.run_datasets import object_rule
from sam_evaluation.row_columns import CELL, METRICS, RUN
from sam_evaluation.summary_tables import NOC

_LEAD = ("data set", "model and prompt")


@dataclass(frozen=True)
class Sheet:
    """A table to be read.

    Attributes
    ----------
    title : what it is about.
    text : how to read it.
    columns : their heads.
    rows : cells as text, as many as there are columns.
    lead : how many columns from the left name the row; the others hold numbers. Where it is 2, the first names a
        group of rows.
    note : models, data, protocols, seed, and rule that it was made with.
    folded : whether it is shown on demand only.
    """

    title: str
    text: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    lead: int
    note: str
    folded: bool = False


def sheets(found: Findings) -> Iterator[Sheet]:
    """Yield all tables that have rows, the most important first."""
    for sheet in (
        _overview(found),
        *_requirements(found),
        _gap(found),
        _agreement(found),
        _detection(found),
        _clicks(found),
        *(_groups(found, dataset, metric) for dataset in found.datasets for metric in ("iou", "boundary_f")),
        _outlines(found),
        _calibration(found),
    ):
        if sheet.rows:
            yield sheet


def note(found: Findings, datasets: Iterable[str] | None = None, models: Iterable[str] | None = None) -> str:
    """Return what a number was made with: models, data sets and protocols, with all that decides them."""
    about, settings = found.about, found.about["settings"]
    used = found.models if models is None else [name for name in found.models if name in set(models)]
    sets = found.datasets if datasets is None else [name for name in found.datasets if name in set(datasets)]
    versions = ", ".join(about["models"][name]["version"] for name in used)
    data = ", ".join(
        f"{name} #{about['datasets'][name]['fingerprint']} "
        f"({about['datasets'][name]['samples']:,} of {count(about['datasets'][name]['of'], 'image')})"
        for name in sets
    )
    return (
        f"Model and checkpoint: {versions}. Data and hash: {data}. Protocols: {settings['protocols']}. "
        f"Seed: {settings['seed']}. Objects: {object_rule(about)}. [ ]: 95 % interval, bootstrap over images."
    )


def _sheet(
    found: Findings,
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
    return Sheet(title, text, (*lead, *values), tuple(rows), len(lead), note(found, datasets, models), folded)


def _cells(table: pd.DataFrame, by: Sequence[str] = CELL) -> Iterator[tuple[dict[str, Any], pd.DataFrame]]:
    """Yield the rows of each model, data set and protocol."""
    if table.empty:
        return
    for key, frame in table.groupby(list(by), sort=False):
        yield dict(zip(by, key, strict=True)), frame


def _ordered(found: Findings, table: pd.DataFrame) -> pd.DataFrame:
    """Sort by data set, model and protocol, as they were given."""
    if table.empty:
        return table
    orders = {"dataset": found.datasets.index, "protocol": protocol_order, "model": (HUMANS, *found.models).index}
    columns = [name for name in ("dataset", "model", "protocol") if name in table]
    return table.sort_values(
        columns, key=lambda column: column.map(orders[str(column.name)]), kind="stable", ignore_index=True
    )


def _overview(found: Findings) -> Sheet:
    overall = _ordered(found, found.summary[found.summary["by"] == "all"])
    rows = []
    for cell, frame in _cells(overall):
        of = {row["metric"]: row for row in _dicts(frame)}
        rows.append(
            (
                *_named(cell),
                *(estimate(of[name]) for name in ("iou", "boundary_f", "boundary_iou")),
                *(estimate(of[f"iou_at_least_{share}"], PERCENT) for share in ("0.5", "0.75", "0.9")),
                number(of["iou_oracle"]["value"]) if cell["model"] in found.estimating else numbers.NOTHING,
                *_counts(of["iou"]),
            )
        )
    return _sheet(
        found,
        "All objects",
        "How well each object was outlined, by how it was shown. The IoU of the best candidate is what it would be, "
        "had the best of the model's candidates been taken each time.",
        _LEAD,
        (
            *("IoU", "boundary F", "boundary IoU", "IoU ≥ 0.5", "IoU ≥ 0.75", "IoU ≥ 0.9"),
            *("IoU of the best candidate", "objects", "images"),
        ),
        rows,
    )


def _groups(found: Findings, dataset: str, metric: str) -> Sheet:
    table = found.summary
    table = table[(table["dataset"] == dataset) & (table["metric"] == metric) & (table["by"] != "size quartile")]
    protocols = found.protocols(dataset)
    rows = []
    for (_, group), frame in table.groupby(["by", "group"], sort=False):
        for model in found.models:
            of = {row["protocol"]: row for row in _dicts(frame[frame["model"] == model])}
            if of:
                most = max(of.values(), key=lambda row: int(row["objects"]))
                means = (estimate(of[name]) if name in of else numbers.NOTHING for name in protocols)
                rows.append((str(group), model, *means, *_counts(most)))
    return _sheet(
        found,
        f"{dataset}: {METRICS[metric].title} by class and size",
        "Mean over the objects of a class or a size, by how they were shown.",
        ("class or size", "model"),
        (*(phrase(name) for name in protocols), "objects", "images"),
        rows,
        datasets=[dataset],
        models=table["model"],
        folded=metric != "iou",
    )


def _outlines(found: Findings) -> Sheet:
    names = ("dice", *(name for name in METRICS if name.startswith("boundary_f_")), "hd95", "assd")
    rows = []
    for cell, frame in _cells(_ordered(found, found.summary[found.summary["by"] == "all"])):
        of = {row["metric"]: row for row in _dicts(frame)}
        values = (estimate(of[name], PIXELS if METRICS[name].unit else numbers.SHARE) for name in names)
        rows.append((*_named(cell), *values, *_counts(of["dice"])))
    return _sheet(
        found,
        "Further measures of the outline",
        "Boundary F counts a point of the outline as right within so many pixels. Distances are in pixels; an object "
        "without any mask counts with its image's diagonal.",
        _LEAD,
        (*(METRICS[name].title + _unit(name) for name in names), "objects", "images"),
        rows,
        folded=True,
    )


def _unit(metric: str) -> str:
    return ", px" if METRICS[metric].unit else ""


def _detection(found: Findings) -> Sheet:
    heads = {
        "recall_0.1": ("found at IoU 0.1", PERCENT),
        "recall_0.5": ("at IoU 0.5", PERCENT),
        "recall_0.75": ("at IoU 0.75", PERCENT),
        "precision_0.5": ("precision", PERCENT),
        "f1_0.5": ("F1", numbers.SHARE),
        "false_positives_0.5": ("false positives an image", CLICKS),
        "false_positives_without_objects": ("… on images without objects", CLICKS),
        "average_recall_100": ("average recall of 100", numbers.SHARE),
        "region_overlap": ("overlap of all regions", numbers.SHARE),
        "pixel_iou": ("IoU of all pixels", numbers.SHARE),
    }
    rows = []
    table = found.detection[found.detection["by"] == "all"]
    for cell, frame in _cells(_ordered(found, table), (*RUN, "dataset")):
        of = {row["metric"]: row for row in _dicts(frame)}
        values = (estimate(of[name], style) if name in of else numbers.NOTHING for name, (_, style) in heads.items())
        counts = (f"{max(row[name] for row in of.values()):,}" for name in ("objects", "images"))
        rows.append((cell["dataset"], cell["model"], *values, *counts))
    return _sheet(
        found,
        "Without a prompt",
        "What the model finds when nobody shows it anything. A proposal that overlaps no object by IoU 0.5 is a false "
        "positive; so is one that outlines something real that nobody annotated.",
        ("data set", "model"),
        (*(head for head, _ in heads.values()), "objects", "images"),
        rows,
    )


def _clicks(found: Findings) -> Sheet:
    rows = []
    for cell, frame in _cells(_ordered(found, found.noc), (*RUN, "dataset", "protocol")):
        of = {row["iou"]: row for row in _dicts(frame)}
        values = [(estimate(of[iou], CLICKS), number(of[iou]["never"], PERCENT)) for iou in NOC]
        first = of[NOC[0]]
        told = (text for pair in values for text in pair)
        rows.append((cell["dataset"], cell["model"], *told, f"{first['cap']}", *_counts(first)))
    return _sheet(
        found,
        "Clicks needed",
        "Mean number of clicks until an IoU is reached (NoC). An object that never gets there counts as the most "
        "clicks made, so that where many never do, the true number is higher.",
        ("data set", "model"),
        (*(head for iou in NOC for head in (f"to IoU {iou:.2f}", "never")), "most clicks", "objects", "images"),
        rows,
    )


def _gap(found: Findings) -> Sheet:
    rows, names = [], []
    for cell, frame in _cells(_ordered_gap(found), ("dataset", "model", "protocol")):
        names = list(frame["metric"])
        first = frame.iloc[0]
        cells = [
            (number(row["industrial"]), number(row["natural"]), estimate(row, DIFFERENCE)) for row in _dicts(frame)
        ]
        counts = (f"{first[name]:,}" for name in ("industrial_objects", "natural_objects"))
        rows.append((*_named(cell), *(text for some in cells for text in some), *counts))
    natural = ", ".join(sorted(found.natural & set(found.datasets)))
    return _sheet(
        found,
        f"Industrial against natural images ({natural})",
        "Means, and their difference: below 0, masks are worse on industrial images. In “all industrial” every data "
        "set weighs the same.",
        _LEAD,
        (
            *(f"{METRICS[name].title}{what}" for name in names for what in ("", ", natural", ", difference")),
            *("objects", "natural objects"),
        ),
        rows,
    )


def _ordered_gap(found: Findings) -> pd.DataFrame:
    """Sort by data set, model and protocol, all industrial data sets together first."""
    if found.gap.empty:
        return found.gap
    orders = {
        "dataset": (ALL_INDUSTRIAL, *found.datasets).index,
        "model": found.models.index,
        "protocol": protocol_order,
    }
    return found.gap.sort_values(
        list(orders), key=lambda column: column.map(orders[str(column.name)]), kind="stable", ignore_index=True
    )


def _agreement(found: Findings) -> Sheet:
    rows, names = [], []
    for cell, frame in _cells(_ordered(found, found.agreement)):
        names = list(frame["metric"])
        cells = [(estimate(row), estimate(row, DIFFERENCE, prefix="difference_")) for row in _dicts(frame)]
        rows.append((*_named(cell), *(text for pair in cells for text in pair), *_counts(_dicts(frame)[0])))
    return _sheet(
        found,
        "Against people",
        "How well people's outlines of the same images agree with each other (“objects” are pairs there), and how "
        "much more or less a model reaches.",
        _LEAD,
        (*(f"{METRICS[name].title}{what}" for name in names for what in ("", ", difference")), "objects", "images"),
        rows,
        datasets=found.agreement["dataset"] if len(found.agreement) else (),
    )


def _requirements(found: Findings) -> Iterator[Sheet]:
    table = _ordered(found, found.requirements)
    if table.empty:
        return
    overall = table[table["label"] == ""]
    conditions = list(dict.fromkeys(overall["condition"]))
    rows = []
    for cell, frame in _cells(overall):
        of = {row["condition"]: row for row in _dicts(frame) if row["objects"]}
        if of:
            cells = (_kept(of[name]) if name in of else numbers.NOTHING for name in conditions)
            rows.append((*_named(cell), *cells, *_counts(max(of.values(), key=lambda row: int(row["objects"])))))
    yield _sheet(
        found,
        "Against the requirements",
        "Share of the objects that meet a requirement, and how many fail it.",
        _LEAD,
        (*("all of them" if name == "all" else name for name in conditions), "objects", "images"),
        rows,
        datasets=overall["dataset"],
        models=overall["model"],
    )
    together = overall[overall["condition"] == "all"].sort_values("value", ascending=False, kind="stable")
    best = together.drop_duplicates(["dataset", "model"])[list(CELL)]
    by_class = table[(table["label"] != "") & (table["condition"] == "all")].merge(best, on=list(CELL))
    yield _sheet(
        found,
        "What fails: all requirements together, by class",
        "The classes of which fewest objects meet all requirements come first; of each model, by the prompt that lets "
        "most objects meet them.",
        (*_LEAD, "class"),
        ("meet all", "objects", "images"),
        (
            (*_named(row), row["label"], _kept(row), *_counts(row))
            for _, frame in _cells(by_class)
            for row in _dicts(frame.sort_values("value", kind="stable"))
        ),
        datasets=by_class["dataset"],
        models=by_class["model"],
    )


def _kept(row: dict[Any, Any]) -> str:
    """Write which share meets a condition, and how many do not."""
    failing = round(row["objects"] * (1 - row["value"]))
    many = "met" if row["met"] else f"{failing:,} of {row['objects']:,} fail"
    return f"{estimate(row, PERCENT)}, {many}"


def _counts(row: dict[Any, Any]) -> tuple[str, str]:
    return f"{row['objects']:,}", f"{row['images']:,}"


def _dicts(frame: pd.DataFrame) -> list[dict[Any, Any]]:
    found: list[dict[Any, Any]] = frame.to_dict("records")
    return found


def _calibration(found: Findings) -> Sheet:
    rows = [
        (*_named(row), number(row["ece"]), estimate(row, DIFFERENCE), *_counts(row))
        for row in _dicts(_ordered(found, found.calibration.errors))
    ]
    return _sheet(
        found,
        "Can the model's own estimate be trusted?",
        "Each mask comes with the IoU that the model predicts for it. Where predicted minus true is above 0, it "
        "overrates its masks.",
        _LEAD,
        ("expected calibration error", "predicted minus true IoU", "objects", "images"),
        rows,
        models=found.estimating,
    )


def _named(row: dict[str, Any]) -> tuple[str, str]:
    return row["dataset"], row["model"] if row["model"] == HUMANS else f"{row['model']}, {phrase(row['protocol'])}"
