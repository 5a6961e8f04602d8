"""All tables of a run, computed once: what words, sheets and figures of a report are made from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd

from sam_evaluation import statistics, summary_tables
from sam_evaluation.comparison import compare
from sam_evaluation.gap import against_humans, against_requirements, gap_table
from sam_evaluation.protocols.named_protocols import EVERYTHING
from sam_evaluation.requirements import Requirements
from sam_evaluation.row_columns import CELL, clicks_in, clicks_of, last_clicks, object_rows
from sam_evaluation.run_files import Run

_FIRST = ("box", "box:jitter", "click", "click:spread", "click:random", "clicks", EVERYTHING)
_PHRASES = {
    "box": "by a box",
    "box:jitter": "by a loose box",
    "click": "by one click",
    "click:random": "by one click anywhere",
    "click:spread": "by one click near the centre",
    EVERYTHING: "without a prompt",
}
_SIZE_BINS, _FEWEST_IN_BIN = 6, 5


def protocol_order(protocol: str) -> int:
    """Return how far down a protocol stands: prompts that say most come first."""
    name = protocol.partition(":")[0] if clicks_of(protocol) else protocol
    return _FIRST.index(name) if name in _FIRST else len(_FIRST)


def phrase(protocol: str) -> str:
    """Return how a protocol reads in a sentence: "by a box", "after 5 clicks"."""
    clicks = clicks_of(protocol)
    return f"after {clicks} clicks" if clicks else _PHRASES.get(protocol, protocol)


@dataclass(frozen=True, eq=False)
class Findings:
    """What there is to tell about a run.

    Attributes
    ----------
    run : itself.
    rows : of its objects, after the last click.
    models, datasets : names, in the order they were given.
    estimating : models that predict an IoU of their own; of others, calibration and choice say nothing.
    natural : names of data sets with natural images.
    summary, noc, curve, detection, calibration : the tables of `sam_evaluation.summary_tables`; `summary` after the
        last click.
    sizes : columns model, version, dataset, protocol, click, area (median), value, low, high, objects, images: IoU in
        bins of as many objects each.
    gap : of `gap_table`; empty unless there are industrial and natural data sets.
    agreement : of `against_humans`, all data sets with several annotators.
    requirements : of `against_requirements`, on industrial data sets if there are any; with a column `label`, empty for
        all objects together.
    verdicts : columns dataset, verdict: the first model beside each other one.
    """

    run: Run
    rows: pd.DataFrame
    models: tuple[str, ...]
    datasets: tuple[str, ...]
    estimating: frozenset[str]
    natural: frozenset[str]
    summary: pd.DataFrame
    noc: pd.DataFrame
    curve: pd.DataFrame
    detection: pd.DataFrame
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
        run : any, empty ones included.
        requirements : of a line.
        human : as `sam_evaluation.report.people` returns it.
        """
        every = object_rows(run.objects)
        seed = int(run.about["settings"]["seed"])
        models, datasets = tuple(run.about["models"]), tuple(run.about["datasets"])
        spread = every.groupby("model")["predicted_iou"].nunique()
        estimating = frozenset(spread.index[spread > 1])
        natural = frozenset(name for name, card in run.about["datasets"].items() if card["domain"] == "natural")
        there = set(every["dataset"].unique())
        means = summary_tables.summary(every, seed=seed)
        rows = last_clicks(every)
        clicks = clicks_in(means["protocol"])
        return cls(
            run,
            rows,
            models,
            datasets,
            estimating,
            natural,
            means[clicks.isna() | (clicks == means["click"])],
            summary_tables.noc(every, seed=seed),
            summary_tables.clicks_curve(every, seed=seed),
            summary_tables.detection(every, run.images, seed=seed),
            summary_tables.calibration(every[every["model"].isin(estimating)], seed=seed),
            _sizes(rows, seed),
            gap_table(every, natural, seed=seed) if there & natural and there - natural else pd.DataFrame(),
            _agreement(every, human, seed),
            _requirements(every if there <= natural else every[~every["dataset"].isin(natural)], requirements, seed),
            _verdicts(rows, models, seed),
        )

    @property
    def about(self) -> dict[str, Any]:
        """What `run.json` holds."""
        return self.run.about

    def protocols(self, dataset: str, model: str | None = None) -> list[str]:
        """Return the protocols with rows of a data set (and a model), those that say most first."""
        rows = self.rows[self.rows["dataset"] == dataset]
        rows = rows if model is None else rows[rows["model"] == model]
        return sorted(rows["protocol"].unique(), key=lambda name: (protocol_order(name), name))

    def answered(self, dataset: str) -> Iterator[tuple[str, str]]:
        """Yield each model with rows of a data set, and the protocol that says most."""
        for model in self.models:
            names = self.protocols(dataset, model)
            if names:
                yield model, names[0]


def find(table: pd.DataFrame, **where: object) -> dict[Any, Any] | None:
    """Return the first row in which these columns are so; None without any."""
    for column, value in where.items():
        table = table[table[column] == value] if len(table) else table
    return table.iloc[0].to_dict() if len(table) else None


def _sizes(rows: pd.DataFrame, seed: int) -> pd.DataFrame:
    table: list[tuple[Any, ...]] = []
    for cell, frame in rows.groupby(list(CELL)):
        bins = min(max(len(frame) // _FEWEST_IN_BIN, 1), _SIZE_BINS)
        which = pd.qcut(frame["area"], bins, labels=False, duplicates="drop").fillna(0)
        for _, some in frame.groupby(which):
            estimate = statistics.mean(some["iou"], some["sample"], seed)
            table.append((*cell, float(some["area"].median()), *asdict(estimate).values()))
    return pd.DataFrame(table, columns=[*CELL, "area", "value", "low", "high", "objects", "images"])


def _agreement(rows: pd.DataFrame, human: pd.DataFrame | None, seed: int) -> pd.DataFrame:
    if human is None or human.empty or rows.empty:
        return pd.DataFrame()
    pairs = {str(name): some for name, some in human.groupby("dataset") if (rows["dataset"] == name).any()}
    found = [against_humans(rows, some, name, seed=seed) for name, some in pairs.items()]
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame()


def _requirements(rows: pd.DataFrame, requirements: Requirements | None, seed: int) -> pd.DataFrame:
    if requirements is None or rows.empty:
        return pd.DataFrame()
    found = [against_requirements(rows, requirements, seed=seed).assign(label="")]
    of_objects = Requirements(requirements.objects)
    if of_objects.objects:
        for label, some in rows.groupby("label"):
            found.append(against_requirements(some, of_objects, seed=seed).assign(label=label))
    return pd.concat(found, ignore_index=True)


def _verdicts(rows: pd.DataFrame, models: Sequence[str], seed: int) -> pd.DataFrame:
    table = []
    for dataset, frame in rows.groupby("dataset"):
        first, *others = [frame[frame["model"] == model] for model in models if (frame["model"] == model).any()]
        for other in others:
            if set(first["protocol"]) & set(other["protocol"]):
                pairings = compare(other, first, seed=seed).pairings
                table += [(dataset, pairing.protocol, pairing.verdict) for pairing in pairings]
    found = pd.DataFrame(table, columns=["dataset", "protocol", "verdict"], dtype=object)
    return found.sort_values(["dataset", "protocol"], key=lambda column: column.map(_rank), kind="stable")


def _rank(value: str) -> tuple[int, str]:
    return protocol_order(value), value
