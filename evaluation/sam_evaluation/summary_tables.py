"""Rows of objects and images -> tables. Every number has a 95 % interval and its counts of objects and images.

All tables except `calibration` have the columns `model`, `version`, `dataset`, `value`, `low`, `high`, `objects` and
`images`. The interval from `low` to `high` is that of the cluster bootstrap over images (`sam_evaluation.statistics`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from sam_evaluation import metrics, statistics
from sam_evaluation.measurement import LIMITS, RECALLS, TOLERANCES
from sam_evaluation.metrics import Floats
from sam_evaluation.protocols.named_protocols import UNPROMPTED
from sam_evaluation.row_columns import (
    CELL,
    OBJECT,
    RUN,
    clicks_in,
    first_click_of,
    image_rows,
    last_clicks,
    object_rows,
    unknown,
)
from sam_evaluation.statistics import Estimate

SIZES = ("under 10² px", "10² to 32² px", "32² to 96² px", "96² px and over")
"""Bins of an object's area; each bin includes its lower end."""

_SIZE_ENDS = (10**2, 32**2, 96**2)

SHARES = (0.5, 0.75, 0.9)
"""Values of IoU for which `summary` gives the share of the objects that reach them."""

DETECTED = RECALLS[1]
"""IoU from which a proposal is not a false positive."""

_MEANS = (
    "iou",
    "dice",
    "boundary_f",
    *(f"boundary_f_{reach}px" for reach in TOLERANCES),
    "boundary_iou",
    "hd95",
    "assd",
    "iou_oracle",
)
_VALUES = ("value", "low", "high", "objects", "images")
_SUMMARY = (*CELL, "by", "group", "metric", *_VALUES)
_DETECTION = (*RUN, "dataset", "protocol", "by", "group", "metric", *_VALUES)
_ERRORS = (*CELL, "ece", *_VALUES)
_RELIABILITY = (*CELL, "bin_low", "bin_high", "predicted", "true", "low", "high", "objects")


def summary(rows: pd.DataFrame, *, by: Sequence[str] = ("label",), seed: int = 0) -> pd.DataFrame:
    """Return the means of every model, data set and protocol, over all objects and over groups of objects.

    For `clicks:N` there are rows for the first and for the last click, for `box+clicks:N` for the box and for the last
    click.

    Parameters
    ----------
    rows : DataFrame, the rows of the objects.
    by : sequence of str, columns to group by, in addition to "size" (`SIZES`) and "size quartile" (of the areas in the
        data set).
    seed : int, the seed of the intervals.

    Returns
    -------
    DataFrame
        Columns model, version, dataset, protocol, click, by ("all", "label", "size", "size quartile"), group, metric,
        value, low, high, objects, images. The metrics are the means of iou, dice, boundary_f, boundary_f_*px,
        boundary_iou, hd95, assd and iou_oracle; ambiguity_cost, the mean IoU that is lost because the chosen candidate
        is not the best one; and iou_at_least_0.5, _0.75 and _0.9, shares of the objects.

    Raises
    ------
    EvaluationError
        If a column is missing, or an object occurs twice.
    """
    objects = _with_sizes(object_rows(rows))
    kinds = tuple(dict.fromkeys((*by, "size", "size quartile")))
    for kind in kinds:
        if kind not in objects:
            raise unknown("column to group by", kind, objects.columns)
    last = last_clicks(objects)
    starts = objects["protocol"].map(first_click_of)
    first = objects[(objects["click"] == starts) & (clicks_in(objects["protocol"]) > starts)]
    table = []
    for cell, frame in pd.concat([first, last]).groupby(list(CELL)):
        values, images = _measured(frame), frame["sample"].to_numpy()
        for kind, group, places in _groups(frame, kinds):
            estimates = statistics.means(values.iloc[places], images[places], seed)
            table += [
                (*cell, kind, group, metric, *_five(estimate))
                for metric, estimate in zip(values.columns, estimates, strict=True)
            ]
    return pd.DataFrame(table, columns=list(_SUMMARY))


def detection(rows: pd.DataFrame, images: pd.DataFrame, *, seed: int = 0) -> pd.DataFrame:
    """Return the metrics of objects that are found without a prompt for each: by the protocols of `UNPROMPTED`.

    Returns
    -------
    DataFrame
        Columns model, version, dataset, protocol, by ("all", "label", "size"), group, metric, value, low, high,
        objects, images.
        Metrics of objects, for all and in groups, from the pairs at IoU 0.1: recall_0.1, recall_0.5, recall_0.75.
        Metrics of images, only for all: precision_0.5 and f1_0.5, over all images together, from the pairs at IoU 0.5
        (so F1 may belong to a slightly higher recall than recall_0.5); false_positives_0.5, per image;
        false_positives_without_objects, the same on images without any object; average_recall_10, _100, _1000 and
        region_overlap, means over images, weighted by their number of objects; pixel_iou, the IoU of all pixels of any
        proposal with all pixels of any object, over all images together. `objects` and `images` count those that the
        number was computed from. Errors are those of `summary`.
    """
    targets = _with_sizes(object_rows(rows))
    targets = targets[targets["protocol"].isin(UNPROMPTED)]
    recalls = [f"recall_{threshold:g}" for threshold in RECALLS]
    table: list[tuple[Any, ...]] = []
    for cell, frame in targets.groupby([*RUN, "dataset", "protocol"]):
        values, samples = frame["iou"].to_numpy()[:, None] >= np.array(RECALLS), frame["sample"].to_numpy()
        for kind, group, places in _groups(frame, ("label", "size")):
            estimates = statistics.means(values[places], samples[places], seed)
            table += [
                (*cell, kind, group, metric, *_five(estimate))
                for metric, estimate in zip(recalls, estimates, strict=True)
            ]
    for cell, frame in image_rows(images).groupby([*RUN, "dataset", "protocol"]):
        names, sums, counts = image_ratios(frame)
        objects = frame["objects"].to_numpy()
        for column, (metric, estimate) in enumerate(zip(names, statistics.ratios(sums, counts, seed), strict=True)):
            counted = int(objects[counts[:, column] > 0].sum())
            table.append(
                (*cell, "all", "all", metric, estimate.value, estimate.low, estimate.high, counted, estimate.images)
            )
    kinds = {"all": 0, "label": 1, "size": 2}
    return _sorted(pd.DataFrame(table, columns=list(_DETECTION)), len(RUN) + 3, kinds)


def sizes_of(areas: ArrayLike) -> NDArray[np.intp]:
    """Return the index in `SIZES` of each area in pixels.

    Examples
    --------
    >>> sizes_of([99, 100, 20_000]).tolist()
    [0, 1, 3]
    """
    return np.searchsorted(_SIZE_ENDS, areas, side="right")


def image_ratios(images: pd.DataFrame) -> tuple[list[str], Floats, Floats]:
    """Return the names of the K metrics of images in `detection`, their numerators (I, K) and denominators (I, K)."""
    objects, proposals = images["objects"].to_numpy(np.float64), images["proposals"].to_numpy(np.float64)
    matched = images[f"matched_{DETECTED:g}"].to_numpy(np.float64)
    ones, empty = np.ones(len(images)), (objects == 0).astype(np.float64)
    columns = {
        f"precision_{DETECTED:g}": (matched, proposals),
        f"f1_{DETECTED:g}": (2 * matched, proposals + objects),
        f"false_positives_{DETECTED:g}": (proposals - matched, ones),
        "false_positives_without_objects": (proposals * empty, empty),
        "pixel_iou": (images["pixels_both"].to_numpy(np.float64), images["pixels_either"].to_numpy(np.float64)),
    }
    for name in (*(f"average_recall_{limit}" for limit in LIMITS), "region_overlap"):
        value = images[name].to_numpy(np.float64)
        known = ~np.isnan(value)
        columns[name] = np.where(known, value, 0) * objects, known * objects
    sums, counts = (np.column_stack(parts) for parts in zip(*columns.values(), strict=True))
    return list(columns), sums, counts


@dataclass(frozen=True, eq=False)
class CalibrationTables:
    """The reliability of the predicted IoU, over the objects that have one, after their last click.

    For `everything` these are the objects that were found.

    Attributes
    ----------
    errors : DataFrame with the columns model, version, dataset, protocol, click, ece (expected calibration error),
        value (mean of predicted minus true IoU; above 0 if the model overrates its masks), low, high, objects, images.
    reliability : DataFrame with the columns model, version, dataset, protocol, click, bin_low, bin_high, predicted,
        true (means of IoU), low, high (interval of true), objects; one row for each bin that is not empty.
    """

    errors: pd.DataFrame
    reliability: pd.DataFrame


def calibration(rows: pd.DataFrame, *, bins: int = 10, seed: int = 0) -> CalibrationTables:
    """Return the expected calibration error and the reliability curve of every model, data set and protocol.

    The calibration error has no interval: it is larger in bootstrap draws than in the data, since the draws scatter
    more. Errors are those of `summary`.
    """
    last = last_clicks(object_rows(rows))
    errors, curves = [], []
    for cell, frame in last[last["predicted_iou"].notna()].groupby(list(CELL)):
        predicted, true = frame["predicted_iou"].to_numpy(np.float64), frame["iou"].to_numpy(np.float64)
        ece = metrics.expected_calibration_error(predicted, true, bins)
        errors.append((*cell, ece, *_five(statistics.mean(predicted - true, frame["sample"], seed))))
        curve = metrics.reliability(predicted, true, bins)
        which = np.clip((predicted * bins).astype(int), 0, bins - 1)
        by_bin = np.where(which[:, None] == np.arange(bins), true[:, None], np.nan)
        ends = [(estimate.low, estimate.high) for estimate in statistics.means(by_bin, frame["sample"], seed)]
        bounds = zip(curve.edges[:-1], curve.edges[1:], curve.predicted, curve.true, ends, curve.count, strict=True)
        curves += [(*cell, *bound, *end, count) for *bound, end, count in bounds if count]
    return CalibrationTables(
        pd.DataFrame(errors, columns=list(_ERRORS)), pd.DataFrame(curves, columns=list(_RELIABILITY))
    )


def _measured(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the columns (N, K) that `summary` averages."""
    table = rows[list(_MEANS)].assign(ambiguity_cost=rows["iou_oracle"] - rows["iou"])
    return table.assign(**{f"iou_at_least_{share:g}": (rows["iou"] >= share).astype(float) for share in SHARES})


def _with_sizes(rows: pd.DataFrame) -> pd.DataFrame:
    """Add the columns "size" and "size quartile"."""
    bins = sizes_of(rows["area"])
    quartiles = pd.Series("", rows.index, dtype=object)
    for _, frame in rows.groupby("dataset"):
        # Each object counts once, whatever its number of clicks: the bins are the same for all models and protocols.
        areas = frame.drop_duplicates(list(OBJECT))["area"].to_numpy()
        ends = np.floor(np.quantile(areas, [0.25, 0.5, 0.75])).astype(int)
        names = np.array(
            [
                f"Q1 (up to {ends[0]} px)",
                f"Q2 ({ends[0] + 1} to {ends[1]} px)",
                f"Q3 ({ends[1] + 1} to {ends[2]} px)",
                f"Q4 (over {ends[2]} px)",
            ],
            object,
        )
        quartiles[frame.index] = names[np.searchsorted(ends, frame["area"], side="left")]
    sizes = pd.Categorical.from_codes(bins.tolist(), pd.Index(SIZES), ordered=True)
    return rows.assign(size=sizes, **{"size quartile": quartiles})


def _groups(rows: pd.DataFrame, by: Sequence[str]) -> Iterator[tuple[str, str, NDArray[np.intp]]]:
    """Yield the column, the group and the positions of its rows; the first group is all rows."""
    yield "all", "all", np.arange(len(rows))
    for column in by:
        for group, places in rows.groupby(column, observed=True, dropna=False).indices.items():
            yield column, str(group), np.asarray(places)


def _sorted(table: pd.DataFrame, columns: int, kinds: dict[str, int] | None = None) -> pd.DataFrame:
    """Sort by the first columns; the column `by` is sorted in the order of `kinds`. Equal rows keep their order."""
    order = None if kinds is None else (lambda column: column.map(kinds) if column.name == "by" else column)
    return table.sort_values(list(table.columns[:columns]), key=order, kind="stable", ignore_index=True)


def _five(estimate: Estimate) -> tuple[Any, ...]:
    return tuple(asdict(estimate).values())
