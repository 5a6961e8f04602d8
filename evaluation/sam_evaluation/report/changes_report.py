"""The report on what people changed of the predictions in Label Studio."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from sam_backend.files import whole_file
from sam_evaluation.comparison import FEWEST_IMAGES
from sam_evaluation.csv_text import csv_text
from sam_evaluation.prediction_changes import OPENED, SCRATCH, SHARES, UNSEEN, PredictionChanges, summary
from sam_evaluation.report.findings import find
from sam_evaluation.report.numbers import NOTHING, PERCENT, PIXELS, SHARE, count, estimate
from sam_evaluation.report.page import template
from sam_evaluation.report.sheet import Sheet
from sam_evaluation.report.words import Words
from sam_evaluation.report.write import write_text

_COLUMNS = (
    *((name, name, PERCENT) for name in SHARES),
    ("iou", "IoU", SHARE),
    ("assd", "moved by (ASSD, px)", PIXELS),
    ("hd95", "HD95 (px)", PIXELS),
    ("seconds", "seconds an image", PIXELS),
)
_SHEETS = (
    (
        "model_version",
        "By model version",
        "Most versions were shown with different images, which can be easier or harder.",
    ),
    ("label", "By class", "A predicted region counts for its predicted class, an added region for its own class."),
    ("annotator", "By annotator", "An annotator who never changes anything may not have looked."),
    ("start", "By how annotations were begun", f"The other tables count only annotations that were {OPENED}."),
)


def write_changes_report(accepted: PredictionChanges, export: Path, out: Path, *, seed: int = 0) -> Words:
    """Write `accepted.parquet`, `accepted.csv`, `broken.csv`, `report.md` and `report.html`.

    Parameters
    ----------
    accepted : PredictionChanges, read from the export.
    export : Path, the export file.
    out : Path of the folder; older files of these names are replaced.
    seed : int, of the bootstrap for the intervals.

    Returns
    -------
    Words
        The summary.
    """
    out.mkdir(parents=True, exist_ok=True)
    table = summary(accepted, seed=seed)
    fingerprint = hashlib.sha256(export.read_bytes()).hexdigest()[:8]
    note = (
        f"Export and hash: {export.name} #{fingerprint}. Newest annotations of {count(len(accepted.tasks), 'image')}. "
        f"Seed: {seed}. [ ]: 95 % interval, bootstrap over images."
    )
    words = _words(accepted, table)
    filling = {
        "words": words,
        "sheets": [sheet for sheet in _sheets(table, note) if sheet.rows],
        "figures": [],
        "galleries": [],
        "broken": [
            {"dataset": export.name, "sample": f"task {row['task']}", "reason": row["reason"]}
            for row in accepted.broken.to_dict("records")
        ],
        "note": note,
    }
    with whole_file(out / "accepted.parquet", private=False) as file:
        accepted.regions.to_parquet(file)
    made_with: dict[str, str | int] = {"export": export.name, "export_hash": fingerprint, "seed": seed}
    write_text(out / "accepted.csv", csv_text(table.assign(**made_with)))
    write_text(out / "broken.csv", csv_text(accepted.broken))
    for name in ("md", "html"):
        write_text(out / f"report.{name}", template(f"changes.{name}.j2").render(filling))
    return words


def _words(accepted: PredictionChanges, table: pd.DataFrame) -> Words:
    return Words(tuple(_lead(accepted, table)), (), tuple(_cautions(accepted)))


def _lead(accepted: PredictionChanges, table: pd.DataFrame) -> Iterator[str]:
    of = {metric: find(table, by="all", metric=metric) for metric, _, _ in _COLUMNS}
    opened = int((accepted.tasks["start"] == OPENED).sum())
    if not opened:
        yield (
            f"None of {count(len(accepted.tasks), 'annotation')} was {OPENED}, so no saving can be measured; the "
            "table below shows how well annotations and predictions agree."
        )
        return
    if predicted := of["unchanged"]:
        shares = {name: estimate(of[name] or {}, PERCENT) for name in SHARES[:-1]}
        yield (
            f"Of {count(predicted['objects'], 'predicted region')} on {count(predicted['images'], 'image')}, people "
            f"left {shares['unchanged']} exactly as predicted. They moved the outline of {shares['moved']}, gave "
            f"{shares['relabelled']} only another class, and deleted {shares['deleted']}."
        )
    else:
        yield f"On {count(opened, 'image')} {OPENED} no region was predicted."
    if added := of["added"]:
        yield f"Of {count(added['objects'], 'accepted region')}, {estimate(added, PERCENT)} had no prediction."
    if (iou := of["iou"]) and (moved := of["assd"]):
        yield (
            f"What was kept, changed or not, has an IoU of {estimate(iou)} with its prediction; its outline moved by "
            f"{estimate(moved, PIXELS)} px in the mean."
        )
    if seconds := of["seconds"]:
        alone = find(table, by="start", group=SCRATCH, metric="seconds")
        without = f", and {estimate(alone, PIXELS)} {SCRATCH}" if alone else ""
        yield f"An image took {estimate(seconds, PIXELS)} seconds when {OPENED}{without}."


def _cautions(accepted: PredictionChanges) -> Iterator[str]:
    yield (
        "A region that was left as predicted was accepted, but it is not certainly right: the annotator may not "
        "have looked. To know, let some images be annotated again without predictions."
    )
    yield (
        "In an export, masks that a model drew at an annotator's click are the annotator's own; they count as added "
        "or as moved."
    )
    begun = accepted.tasks["start"].value_counts()
    if begun.get(UNSEEN):
        yield (
            f"{count(int(begun[UNSEEN]), 'annotation')} came {UNSEEN}, without any time on the page. Perhaps nobody "
            "saw the predictions, so they count only in the table of how annotations were begun."
        )
    if begun.get(SCRATCH):
        yield f"{count(int(begun[SCRATCH]), 'annotation')} began {SCRATCH}; they, too, count only in that table."
    if begun.get(OPENED, 0) < FEWEST_IMAGES:
        yield f"With fewer than {FEWEST_IMAGES} images opened, intervals are too narrow, and may not be there at all."
    if accepted.tasks["lead_time"].notna().any():
        yield "Seconds are how long the page was open, breaks included."


def _sheets(table: pd.DataFrame, note: str) -> Iterator[Sheet]:
    text = (
        "Unchanged, moved, relabelled and deleted are shares of the predicted regions; added is the share of the "
        "accepted ones that had no prediction. IoU and distances are of those that were kept, changed or not."
    )
    for by, title, own in _SHEETS:
        every = [("all", "all")] if by == "model_version" else []
        groups = [*every, *((by, group) for group in table.loc[table["by"] == by, "group"].unique())]
        rows = tuple(_row(table, kind, group) for kind, group in groups if find(table, by=kind, group=group))
        heads = (title.removeprefix("By "), "regions", "images", *(head for _, head, _ in _COLUMNS))
        yield Sheet(title, f"{text} {own}", heads, rows, 1, note)


def _row(table: pd.DataFrame, by: str, group: str) -> tuple[str, ...]:
    of = {metric: find(table, by=by, group=group, metric=metric) for metric, _, _ in _COLUMNS}
    predicted = of["unchanged"] or of["added"] or {"objects": 0, "images": 0}
    cells = (NOTHING if (row := of[metric]) is None else estimate(row, style) for metric, _, style in _COLUMNS)
    return (group, f"{predicted['objects']:,}", f"{predicted['images']:,}", *cells)
