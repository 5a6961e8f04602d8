"""How far a model falls short: on industrial images of natural ones, of people, and of what a line needs."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import pandas as pd

from sam_evaluation import statistics
from sam_evaluation.errors import EvaluationError
from sam_evaluation.metrics import Floats
from sam_evaluation.protocols.named_protocols import EVERYTHING
from sam_evaluation.requirements import Requirements
from sam_evaluation.row_columns import CELL, RUN, last_clicks, metric_named, object_rows
from sam_evaluation.statistics import Estimate

ALL_INDUSTRIAL = "all industrial"
HUMANS = "humans among themselves"

_VALUES = ("value", "low", "high", "objects", "images")
_GAP = (
    *(*RUN, "protocol", "click", "dataset", "metric"),
    *("industrial", "natural", "value", "low", "high"),
    *("industrial_objects", "industrial_images", "natural_objects", "natural_images"),
)
_AGREEMENT = (*CELL, "metric", *_VALUES, "difference", "difference_low", "difference_high")
_REQUIREMENTS = (*CELL, "condition", *_VALUES, "met")


def gap_table(
    rows: pd.DataFrame,
    natural: Collection[str],
    *,
    metrics: Sequence[str] = ("iou", "boundary_f"),
    seed: int = 0,
) -> pd.DataFrame:
    """Return by how much masks are worse on industrial images than on natural ones.

    For each model and protocol (after the last click) the mean of each industrial data set, and of all of them, minus
    that of the natural ones. Where several data sets make up a side, each weighs the same, however large it is: the
    interval is about other images of these data sets, not about other data sets.

    Parameters
    ----------
    rows : of objects.
    natural : names of data sets with natural images, not all of which need be there; all others are industrial.
    metrics : columns.
    seed : of the intervals.

    Returns
    -------
    DataFrame
        Columns model, version, protocol, click, dataset (an industrial one, or "all industrial"), metric, industrial,
        natural (means), value (industrial minus natural), low, high, industrial_objects, industrial_images,
        natural_objects, natural_images. Protocols that were run on one side only are left out.

    Raises
    ------
    EvaluationError
        If a side has no data set, a metric or column is unknown, or an object is there twice.
    """
    names = [metric_named(name).name for name in metrics]
    last = last_clicks(object_rows(rows))
    datasets = sorted(last["dataset"].unique())
    for side, there in (("natural", set(datasets) & set(natural)), ("industrial", set(datasets) - set(natural))):
        if not there:
            raise EvaluationError(
                f"A gap needs natural and industrial data sets; none of {', '.join(datasets) or 'no rows'} is {side}."
            )
    table: list[tuple[Any, ...]] = []
    for cell, frame in last.groupby([*RUN, "protocol", "click"]):
        means = {
            dataset: _Means.of(some[names], some["sample"], [seed, datasets.index(dataset)])
            for dataset, some in frame.groupby("dataset")
        }
        other = [means[dataset] for dataset in means if dataset in natural]
        own = {dataset: [means[dataset]] for dataset in means if dataset not in natural}
        if not other or not own:
            continue
        sides = {ALL_INDUSTRIAL: [each for some in own.values() for each in some], **own}
        base = _Means.averaged(other)
        for dataset, some in sides.items():
            mine = _Means.averaged(some)
            low, high = statistics.interval(mine.replicates - base.replicates)
            for column, name in enumerate(names):
                a, b = mine.estimates[column], base.estimates[column]
                table.append(
                    (
                        *(*cell, dataset, name, a.value, b.value, a.value - b.value, low[column], high[column]),
                        *(a.objects, a.images, b.objects, b.images),
                    )
                )
    return pd.DataFrame(table, columns=list(_GAP))


class _Means:
    """Means of some columns, with their replicates (R, K)."""

    def __init__(self, estimates: list[Estimate], replicates: Floats) -> None:
        self.estimates = estimates
        self.replicates = replicates

    @classmethod
    def of(cls, values: pd.DataFrame, images: pd.Series, seed: statistics.Seed) -> _Means:
        sums, counts = statistics.sums_by_image(values, images)
        return cls(statistics.ratios(sums, counts, seed), statistics.resample(sums, counts, seed))

    @classmethod
    def averaged(cls, several: list[_Means]) -> _Means:
        """Give each the same weight."""
        replicates = np.mean([each.replicates for each in several], axis=0)
        low, high = statistics.interval(replicates)
        estimates = [
            Estimate(
                float(np.mean([each.value for each in column])),
                float(low[index]),
                float(high[index]),
                sum(each.objects for each in column),
                sum(each.images for each in column),
            )
            for index, column in enumerate(zip(*(each.estimates for each in several), strict=True))
        ]
        return cls(estimates, replicates)


def against_humans(
    rows: pd.DataFrame,
    pairs: pd.DataFrame,
    dataset: str,
    *,
    metrics: Sequence[str] = ("iou", "boundary_f", "boundary_iou"),
    seed: int = 0,
) -> pd.DataFrame:
    """Return how well models do beside how well people agree, on the images that several people outlined.

    Parameters
    ----------
    rows : of objects.
    pairs : columns sample and `metrics`, a row a pair of people's outlines (`sam_evaluation.humans`).
    dataset : that `pairs` are of; rows of others are left out, as are images that `pairs` do not have.
    metrics : columns.
    seed : of the intervals.

    Returns
    -------
    DataFrame
        Columns model, version, dataset, protocol, click, metric, value, low, high, objects, images, difference,
        difference_low, difference_high: after the last click, and how much more that is than people reach, images
        drawn for both at once. First the rows whose model is "humans among themselves": version and protocol empty,
        click 0, `objects` the pairs, no difference.

    Raises
    ------
    EvaluationError
        If rows and pairs have no image in common, or a metric or column is unknown.
    """
    names = [metric_named(name).name for name in metrics]
    missing = [name for name in ("sample", *names) if name not in pairs]
    if missing:
        raise EvaluationError(f"The pairs of people lack {', '.join(missing)}; expected sample, {', '.join(names)}.")
    last = last_clicks(object_rows(rows))
    last = last[(last["dataset"] == dataset) & last["sample"].isin(pairs["sample"])]
    if last.empty:
        raise EvaluationError(
            f"No image of {dataset} was outlined by several people and by a model; evaluate one on it."
        )
    nan = float("nan")
    table: list[tuple[Any, ...]] = [
        (HUMANS, "", dataset, "", 0, name, *_five(estimate), nan, nan, nan)
        for name, estimate in zip(names, statistics.means(pairs[names], pairs["sample"], seed), strict=True)
    ]
    for cell, frame in last.groupby(list(CELL)):
        people = pairs[pairs["sample"].isin(frame["sample"])]
        # The same images are drawn for both sides: an image that is hard for a model is mostly hard for people.
        both = pd.concat([frame[names].add_prefix("model "), people[names].add_prefix("people ")])
        sums, counts = statistics.sums_by_image(both, pd.concat([frame["sample"], people["sample"]]))
        estimates, replicates = statistics.ratios(sums, counts, seed), statistics.resample(sums, counts, seed)
        low, high = statistics.interval(replicates[:, : len(names)] - replicates[:, len(names) :])
        for column, name in enumerate(names):
            mine, theirs = estimates[column], estimates[column + len(names)]
            table.append((*cell, name, *_five(mine), mine.value - theirs.value, low[column], high[column]))
    return pd.DataFrame(table, columns=list(_AGREEMENT))


def against_requirements(rows: pd.DataFrame, requirements: Requirements, *, seed: int = 0) -> pd.DataFrame:
    """Return which share of the objects meets the requirements, after the last click.

    Returns
    -------
    DataFrame
        Columns model, version, dataset, protocol, click, condition, value (share of objects that meet it; the others
        fail), low, high, objects, images, met. Conditions are "all" conditions on objects together, each of them
        ("iou >= 0.8"), and, with `everything` alone, the one on recall, whose value is the recall. `met` says whether
        every object meets a condition on objects, or whether the recall is as asked. Objects of which a condition says
        nothing do not count for it. A recall that was asked for and not measured is there with no objects, not met.

    Raises
    ------
    EvaluationError
        If a column is missing, or an object is there twice.
    """
    last = last_clicks(object_rows(rows))
    table: list[tuple[Any, ...]] = []
    for cell, frame in last.groupby(list(CELL)):
        each = requirements.met(frame)
        if each.shape[1]:
            applies = ~np.isnan(each).all(1)
            together = np.full(len(each), np.nan)
            together[applies] = np.nanmin(each[applies], axis=1)
            names = ["all", *(str(condition) for condition in requirements.objects)]
            estimates = statistics.means(np.column_stack([together, each]), frame["sample"], seed)
            table += [
                (*cell, name, *_five(estimate), estimate.value == 1)
                for name, estimate in zip(names, estimates, strict=True)
            ]
    recall = requirements.recall
    if recall is not None:
        for run, frame in last.groupby([*RUN, "dataset"]):
            counted = frame[(frame["protocol"] == EVERYTHING) & (frame["area"] >= recall.min_area)]
            estimate = statistics.mean(counted["iou"] >= recall.threshold, counted["sample"], seed)
            met = bool(recall.bound.holds(estimate.value))
            table.append((*run, EVERYTHING, 0, str(recall), *_five(estimate), met))
    return pd.DataFrame(table, columns=list(_REQUIREMENTS))


def _five(estimate: Estimate) -> tuple[float, float, float, int, int]:
    return estimate.value, estimate.low, estimate.high, estimate.objects, estimate.images
