"""The gap of a model: between industrial and natural images, to people, and to the requirements of a line."""

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
    """Return the difference in quality between industrial and natural images.

    It is the mean of each industrial data set, and of all of them together, minus the mean of the natural ones, for
    each model and protocol after the last click. If a side has several data sets, each has the same weight, whatever
    its size. So the interval is about other images of these data sets, not about other data sets.

    Parameters
    ----------
    rows : DataFrame, the rows of the objects.
    natural : collection of str, the names of the data sets with natural images; not all of them must be in the rows.
        All other data sets are industrial.
    metrics : sequence of str, columns.
    seed : int, the seed of the intervals.

    Returns
    -------
    DataFrame
        Columns model, version, protocol, click, dataset (an industrial one, or "all industrial"), metric, industrial,
        natural (means), value (industrial minus natural), low, high, industrial_objects, industrial_images,
        natural_objects, natural_images. A protocol that was run on only one side is left out.

    Raises
    ------
    EvaluationError
        If a side has no data set, a metric or column is unknown, or an object occurs twice.
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
            dataset: _Means.of(part[names], part["sample"], [seed, datasets.index(dataset)])
            for dataset, part in frame.groupby("dataset")
        }
        of_natural = [means[dataset] for dataset in means if dataset in natural]
        of_industrial = {dataset: [means[dataset]] for dataset in means if dataset not in natural}
        if not of_natural or not of_industrial:
            continue
        sides = {ALL_INDUSTRIAL: [mean for side in of_industrial.values() for mean in side], **of_industrial}
        base = _Means.averaged(of_natural)
        for dataset, side_means in sides.items():
            industrial = _Means.averaged(side_means)
            low, high = statistics.interval(industrial.replicates - base.replicates)
            for column, name in enumerate(names):
                a, b = industrial.estimates[column], base.estimates[column]
                table.append(
                    (
                        *(*cell, dataset, name, a.value, b.value, a.value - b.value, low[column], high[column]),
                        *(a.objects, a.images, b.objects, b.images),
                    )
                )
    return pd.DataFrame(table, columns=list(_GAP))


class _Means:
    """Means of K columns, with their replicates (R, K)."""

    def __init__(self, estimates: list[Estimate], replicates: Floats) -> None:
        self.estimates = estimates
        self.replicates = replicates

    @classmethod
    def of(cls, values: pd.DataFrame, images: pd.Series, seed: statistics.Seed) -> _Means:
        sums, counts = statistics.sums_by_image(values, images)
        return cls(statistics.ratios(sums, counts, seed), statistics.resample(sums, counts, seed))

    @classmethod
    def averaged(cls, several: list[_Means]) -> _Means:
        """Return the average of several means, all with the same weight."""
        replicates = np.mean([means.replicates for means in several], axis=0)
        low, high = statistics.interval(replicates)
        estimates = [
            Estimate(
                float(np.mean([estimate.value for estimate in column])),
                float(low[index]),
                float(high[index]),
                sum(estimate.objects for estimate in column),
                sum(estimate.images for estimate in column),
            )
            for index, column in enumerate(zip(*(means.estimates for means in several), strict=True))
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
    """Compare models with the agreement of people, on the images that several people outlined.

    Parameters
    ----------
    rows : DataFrame, the rows of the objects.
    pairs : DataFrame with the columns sample and `metrics`, one row per pair of outlines (`sam_evaluation.humans`).
    dataset : str, the data set of `pairs`. Rows of other data sets, and images that are not in `pairs`, are left out.
    metrics : sequence of str, columns.
    seed : int, the seed of the intervals.

    Returns
    -------
    DataFrame
        Columns model, version, dataset, protocol, click, metric, value, low, high, objects, images, difference,
        difference_low, difference_high. `value` is the mean after the last click. `difference` is the mean of the
        model minus that of people; the same images are drawn for both. The first rows have the model "humans among
        themselves": version and protocol are empty, click is 0, `objects` counts the pairs, and there is no difference.

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
        # The same images are drawn for both sides: an image that is hard for a model is usually hard for people too.
        both = pd.concat([frame[names].add_prefix("model "), people[names].add_prefix("people ")])
        sums, counts = statistics.sums_by_image(both, pd.concat([frame["sample"], people["sample"]]))
        estimates, replicates = statistics.ratios(sums, counts, seed), statistics.resample(sums, counts, seed)
        low, high = statistics.interval(replicates[:, : len(names)] - replicates[:, len(names) :])
        for column, name in enumerate(names):
            model, human = estimates[column], estimates[column + len(names)]
            table.append((*cell, name, *_five(model), model.value - human.value, low[column], high[column]))
    return pd.DataFrame(table, columns=list(_AGREEMENT))


def against_requirements(rows: pd.DataFrame, requirements: Requirements, *, seed: int = 0) -> pd.DataFrame:
    """Return the share of the objects that meets the requirements, after the last click.

    Returns
    -------
    DataFrame
        Columns model, version, dataset, protocol, click, condition, value, low, high, objects, images, met. The
        conditions are "all" (all conditions on objects together), each single one ("iou >= 0.8"), and, only for
        `everything`, the one on the recall. `value` is the share of the objects that meet the condition, or the recall.
        `met` is whether every object meets a condition on objects, or whether the recall meets its bound. An object to
        which a condition does not apply does not count for it. A required recall that was not measured has 0 objects
        and is not met.

    Raises
    ------
    EvaluationError
        If a column is missing, or an object occurs twice.
    """
    last = last_clicks(object_rows(rows))
    table: list[tuple[Any, ...]] = []
    for cell, frame in last.groupby(list(CELL)):
        met = requirements.met(frame)
        if met.shape[1]:
            applies = ~np.isnan(met).all(1)
            together = np.full(len(met), np.nan)
            together[applies] = np.nanmin(met[applies], axis=1)
            names = ["all", *(str(condition) for condition in requirements.objects)]
            estimates = statistics.means(np.column_stack([together, met]), frame["sample"], seed)
            table += [
                (*cell, name, *_five(estimate), estimate.value == 1)
                for name, estimate in zip(names, estimates, strict=True)
            ]
    recall = requirements.recall
    if recall is not None:
        for run, frame in last.groupby([*RUN, "dataset"]):
            counted = frame[(frame["protocol"] == EVERYTHING) & (frame["area"] >= recall.min_area)]
            estimate = statistics.mean(counted["iou"] >= recall.threshold, counted["sample"], seed)
            is_met = bool(recall.bound.holds(estimate.value))
            table.append((*run, EVERYTHING, 0, str(recall), *_five(estimate), is_met))
    return pd.DataFrame(table, columns=list(_REQUIREMENTS))


def _five(estimate: Estimate) -> tuple[float, float, float, int, int]:
    return estimate.value, estimate.low, estimate.high, estimate.objects, estimate.images
