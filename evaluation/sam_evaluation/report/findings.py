"""All tables of a run, computed once: the words, tables and figures of a report are made from them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd

from sam_evaluation import click_tables, statistics, summary_tables
from sam_evaluation.box_tables import box_table
from sam_evaluation.comparison import compare
from sam_evaluation.gap import against_humans, against_requirements, gap_table
from sam_evaluation.report.phrases import protocol_order
from sam_evaluation.requirements import Requirements
from sam_evaluation.row_columns import CELL, clicks_in, last_clicks, object_rows
from sam_evaluation.run_files import Run

_SIZE_BINS, _FEWEST_IN_BIN = 6, 5


@dataclass(frozen=True, eq=False)
class Findings:
    """All results of a run.

    Attributes
    ----------
    run : Run.
    rows : DataFrame, the rows of the objects after the last click.
    models, datasets : tuple of str, names in the order in which they were given.
    estimating : names of the models that predict an IoU. For other models there is no calibration and no choice.
    natural : names of the data sets with natural images.
    summary, detection, calibration : the tables of `sam_evaluation.summary_tables`; `summary` after the last click.
    boxes : the table of `sam_evaluation.box_tables`; empty unless boxes are scored.
    noc, worsened, curve : the tables of `sam_evaluation.click_tables`.
    sizes : DataFrame with the columns model, version, dataset, protocol, click, area (median), value, low, high,
        objects, images: the IoU in bins of the area with equal numbers of objects.
    gap : the table of `gap_table`; empty unless there are industrial and natural data sets.
    agreement : the table of `against_humans`, for all data sets with several annotators.
    requirements : the table of `against_requirements`, for the industrial data sets if there are any, with a column
        `label` that is empty for all objects together.
    verdicts : DataFrame with the columns dataset, protocol, verdict: the first model compared with each other model.
    """

    run: Run
    rows: pd.DataFrame
    models: tuple[str, ...]
    datasets: tuple[str, ...]
    estimating: frozenset[str]
    natural: frozenset[str]
    summary: pd.DataFrame
    noc: pd.DataFrame
    worsened: pd.DataFrame
    curve: pd.DataFrame
    detection: pd.DataFrame
    boxes: pd.DataFrame
    calibration: summary_tables.CalibrationTables
    sizes: pd.DataFrame
    gap: pd.DataFrame
    agreement: pd.DataFrame
    requirements: pd.DataFrame
    verdicts: pd.DataFrame

    @classmethod
    def of(cls, run: Run, *, requirements: Requirements | None = None, human: pd.DataFrame | None = None) -> Findings:
        """Compute the tables.

        Parameters
        ----------
        run : Run, which may be empty.
        requirements : Requirements of a line.
        human : DataFrame, the agreement of people from `sam_evaluation.report.people`.
        """
        objects = object_rows(run.objects)
        seed = int(run.about["settings"]["seed"])
        models, datasets = tuple(run.about["models"]), tuple(run.about["datasets"])
        spread = objects.groupby("model")["predicted_iou"].nunique()
        estimating = frozenset(spread.index[spread > 1])
        natural = frozenset(name for name, card in run.about["datasets"].items() if card["domain"] == "natural")
        present = set(objects["dataset"].unique())
        means = summary_tables.summary(objects, seed=seed)
        rows = last_clicks(objects)
        clicks = clicks_in(means["protocol"])
        industrial = objects[~objects["dataset"].isin(natural)]
        return cls(
            run,
            rows,
            models,
            datasets,
            estimating,
            natural,
            means[clicks.isna() | (clicks == means["click"])],
            click_tables.noc(objects, seed=seed),
            click_tables.worsened(objects, seed=seed),
            click_tables.clicks_curve(objects, seed=seed),
            summary_tables.detection(objects, run.images, seed=seed),
            box_table(run.boxes, run.images, seed=seed),
            summary_tables.calibration(objects[objects["model"].isin(estimating)], seed=seed),
            _sizes(rows, seed),
            gap_table(objects, natural, seed=seed) if present & natural and present - natural else pd.DataFrame(),
            _agreement(objects, human, seed),
            _requirements(objects if present <= natural else industrial, requirements, seed),
            _verdicts(rows, models, seed),
        )

    @property
    def about(self) -> dict[str, Any]:
        """The content of `run.json`."""
        return self.run.about

    def protocols(self, dataset: str, model: str | None = None) -> list[str]:
        """Return the protocols that were run on a data set (with a model), in the order of `protocol_order`."""
        rows = self.rows[self.rows["dataset"] == dataset]
        rows = rows if model is None else rows[rows["model"] == model]
        return sorted(rows["protocol"].unique(), key=lambda name: (protocol_order(name), name))

    def answered(self, dataset: str) -> Iterator[tuple[str, str]]:
        """Yield each model that was run on a data set, and its first protocol in the order of `protocol_order`."""
        for model in self.models:
            names = self.protocols(dataset, model)
            if names:
                yield model, names[0]

    def mean(self, dataset: str, model: str, protocol: str, metric: str = "iou") -> dict[Any, Any] | None:
        """Return the row of `summary` with the mean over all objects; None if there is none."""
        return find(self.summary, dataset=dataset, model=model, protocol=protocol, by="all", metric=metric)


def find(table: pd.DataFrame, **where: object) -> dict[Any, Any] | None:
    """Return the first row of a table whose columns have these values; None if there is none."""
    for column, value in where.items():
        table = table[table[column] == value] if len(table) else table
    return table.iloc[0].to_dict() if len(table) else None


def records(table: pd.DataFrame) -> list[dict[Any, Any]]:
    """Return the rows of a table as dicts."""
    rows: list[dict[Any, Any]] = table.to_dict("records")
    return rows


def _sizes(rows: pd.DataFrame, seed: int) -> pd.DataFrame:
    table: list[tuple[Any, ...]] = []
    for cell, frame in rows.groupby(list(CELL)):
        bins = min(max(len(frame) // _FEWEST_IN_BIN, 1), _SIZE_BINS)
        which = pd.qcut(frame["area"], bins, labels=False, duplicates="drop").fillna(0)
        for _, group in frame.groupby(which):
            estimate = statistics.mean(group["iou"], group["sample"], seed)
            table.append((*cell, float(group["area"].median()), *asdict(estimate).values()))
    return pd.DataFrame(table, columns=[*CELL, "area", "value", "low", "high", "objects", "images"])


def _agreement(rows: pd.DataFrame, human: pd.DataFrame | None, seed: int) -> pd.DataFrame:
    if human is None or human.empty or rows.empty:
        return pd.DataFrame()
    pairs = {str(name): part for name, part in human.groupby("dataset") if (rows["dataset"] == name).any()}
    agreements = [against_humans(rows, part, name, seed=seed) for name, part in pairs.items()]
    return pd.concat(agreements, ignore_index=True) if agreements else pd.DataFrame()


def _requirements(rows: pd.DataFrame, requirements: Requirements | None, seed: int) -> pd.DataFrame:
    if requirements is None or rows.empty:
        return pd.DataFrame()
    parts = [against_requirements(rows, requirements, seed=seed).assign(label="")]
    of_objects = Requirements(requirements.objects)
    if of_objects.objects:
        for label, group in rows.groupby("label"):
            parts.append(against_requirements(group, of_objects, seed=seed).assign(label=label))
    return pd.concat(parts, ignore_index=True)


def _verdicts(rows: pd.DataFrame, models: Sequence[str], seed: int) -> pd.DataFrame:
    table = []
    for dataset, frame in rows.groupby("dataset"):
        first, *others = [frame[frame["model"] == model] for model in models if (frame["model"] == model).any()]
        for other in others:
            if set(first["protocol"]) & set(other["protocol"]):
                pairings = compare(other, first, seed=seed).pairings
                table += [(dataset, pairing.protocol, pairing.verdict) for pairing in pairings]
    verdicts = pd.DataFrame(table, columns=["dataset", "protocol", "verdict"], dtype=object)
    return verdicts.sort_values(["dataset", "protocol"], key=lambda column: column.map(_rank), kind="stable")


def _rank(value: str) -> tuple[int, str]:
    return protocol_order(value), value
