"""Rows of objects -> tables of `clicks:N` and `box+clicks:N`: what the clicks reach, and what a correction does.

The columns and the intervals are those of `sam_evaluation.summary_tables`.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from sam_evaluation import statistics
from sam_evaluation.row_columns import CELL, OBJECT, RUN, clicks_in, clicks_of, first_click_of, object_rows

NOC = (0.80, 0.85, 0.90)
"""Values of IoU for which `noc` counts the clicks."""

HARM = 0.02
"""A correction makes a mask worse if its IoU falls by more than this."""

_VALUES = ("value", "low", "high", "objects", "images")
_NEVER = ("never", "never_low", "never_high")
_PROTOCOL = (*RUN, "dataset", "protocol")


def noc(rows: pd.DataFrame, *, seed: int = 0) -> pd.DataFrame:
    """Return NoC, the mean number of clicks to reach IoU 0.80, 0.85 and 0.90, and who never reaches it.

    Returns
    -------
    DataFrame
        Columns model, version, dataset, protocol, iou, value, low, high, objects, images, cap, never, never_low,
        never_high. `never` is the share of the objects that never reach the IoU; each of them counts as `cap` = N
        clicks. The box of `box+clicks:N` is no click: an object that it outlines well enough counts as 0. Errors are
        those of `summary_tables.summary`.

    References
    ----------
    Sofiiuk et al., Reviving iterative training with mask guidance for interactive segmentation, ICIP 2022, section 4.
    """
    table: list[tuple[Any, ...]] = []
    for threshold in NOC:
        needed = clicks_needed(object_rows(rows), threshold)
        for cell, frame in needed.groupby(list(_PROTOCOL)):
            values = frame[["clicks", "never"]].to_numpy(np.float64)
            clicks, never = statistics.means(values, frame["sample"], seed)
            share = (never.value, never.low, never.high)
            table.append((*cell, threshold, *asdict(clicks).values(), clicks_of(str(cell[-1])), *share))
    columns = [*_PROTOCOL, "iou", *_VALUES, "cap", *_NEVER]
    return _sorted(pd.DataFrame(table, columns=columns), [*_PROTOCOL, "iou"])


def clicks_needed(rows: pd.DataFrame, threshold: float) -> pd.DataFrame:
    """Return one row per object and protocol with corrections, with the `clicks` to reach an IoU of `threshold`.

    If the object `never` reaches it, `clicks` is N.
    """
    clicked = rows[clicks_in(rows["protocol"]).notna()]
    keys = [*RUN, *OBJECT, "protocol"]
    objects = clicked[keys].drop_duplicates(ignore_index=True)
    first = clicked[clicked["iou"] >= threshold].groupby(keys)["click"].min().rename("clicks").reset_index()
    needed = objects.merge(first, on=keys, how="left")
    never = needed["clicks"].isna()
    return needed.assign(clicks=needed["clicks"].fillna(clicks_in(needed["protocol"])).astype("int64"), never=never)


def worsened(rows: pd.DataFrame, *, seed: int = 0) -> pd.DataFrame:
    """Return the share of the corrections that make a mask worse: its IoU falls by more than `HARM`.

    Returns
    -------
    DataFrame
        Columns model, version, dataset, protocol, value, low, high, objects, images; `objects` counts corrections. A
        protocol without any correction has no row. Errors are those of `summary_tables.summary`.
    """
    objects = object_rows(rows)
    clicked = objects[clicks_in(objects["protocol"]).notna()].sort_values("click", kind="stable")
    gain = clicked.groupby([*RUN, *OBJECT, "protocol"])["iou"].diff()
    corrections = clicked.assign(worse=gain < -HARM)[gain.notna()]
    table = [
        (*cell, *asdict(statistics.mean(frame["worse"], frame["sample"], seed)).values())
        for cell, frame in corrections.groupby(list(_PROTOCOL))
    ]
    return _sorted(pd.DataFrame(table, columns=[*_PROTOCOL, *_VALUES]), list(_PROTOCOL))


def clicks_curve(rows: pd.DataFrame, *, seed: int = 0) -> pd.DataFrame:
    """Return the mean IoU after each click, over the same objects at each click.

    Returns
    -------
    DataFrame
        Columns model, version, dataset, protocol, click (0 for the box of `box+clicks:N`), value, low, high, objects,
        images. An object whose mask became perfect keeps its last IoU. Errors are those of `summary_tables.summary`.
    """
    objects = object_rows(rows)
    table: list[tuple[Any, ...]] = []
    clicked = objects[clicks_in(objects["protocol"]).notna()]
    for cell, frame in clicked.groupby(list(_PROTOCOL)):
        protocol = str(cell[-1])
        clicks = range(first_click_of(protocol), (clicks_of(protocol) or 0) + 1)
        ious = frame.pivot(index=["sample", "object", "annotator"], columns="click", values="iou")
        ious = ious.reindex(columns=clicks).ffill(axis=1)
        estimates = statistics.means(ious, ious.index.get_level_values("sample"), seed)
        table += [(*cell, click, *asdict(each).values()) for click, each in zip(clicks, estimates, strict=True)]
    return pd.DataFrame(table, columns=[*CELL, *_VALUES])


def _sorted(table: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    return table.sort_values(columns, kind="stable", ignore_index=True)
