"""What the columns of the rows mean, and the few ways in which every table reads them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from sam_backend.names import did_you_mean
from sam_evaluation.errors import EvaluationError
from sam_evaluation.measurement import LIMITS, RECALLS, TOLERANCES
from sam_evaluation.metrics import Floats

RUN = ("model", "version")
IMAGE = ("dataset", "sample")
OBJECT = (*IMAGE, "object", "annotator")
CELL = (*RUN, "dataset", "protocol", "click")
"""What one number of a table is about."""


@dataclass(frozen=True)
class Metric:
    """A column that says how good a mask is.

    Attributes
    ----------
    name : of the column.
    title : as sentences have it.
    higher_is_better : which way is good.
    unit : "px", or "" for a share.
    signed : an error of either sign; tables that judge take its magnitude.
    """

    name: str
    title: str
    higher_is_better: bool = True
    unit: str = ""
    signed: bool = False

    @property
    def bounded(self) -> bool:
        """Whether it lies from 0 to 1."""
        return not self.unit and not self.signed


METRICS: dict[str, Metric] = {
    each.name: each
    for each in (
        Metric("iou", "IoU"),
        Metric("dice", "Dice"),
        Metric("boundary_f", "boundary F"),
        *(Metric(f"boundary_f_{reach}px", f"boundary F at {reach} px") for reach in TOLERANCES),
        Metric("boundary_iou", "boundary IoU"),
        Metric("hd95", "HD95", higher_is_better=False, unit="px"),
        Metric("assd", "ASSD", higher_is_better=False, unit="px"),
        Metric("area_error", "area error", higher_is_better=False, signed=True),
        Metric("length_error", "length error", higher_is_better=False, signed=True),
        Metric("width_error", "width error", higher_is_better=False, signed=True),
        Metric("iou_oracle", "IoU of the best candidate"),
    )
}

_OBJECTS = (*RUN, *OBJECT, "label", "area", "protocol", "click")
# A file of rows lacks the columns in which no row has a value.
_OBJECTS_MAYBE = (*METRICS, "predicted_iou")
_IMAGES = (
    *(*RUN, *IMAGE, "objects", "proposals"),
    *(f"matched_{threshold:g}" for threshold in RECALLS),
    *("pixels_both", "pixels_either"),
)
_IMAGES_MAYBE = (*(f"average_recall_{limit}" for limit in LIMITS), "region_overlap")


def unknown(kind: str, name: str, known: Iterable[str]) -> EvaluationError:
    """Return the error for a name that is none of the known ones."""
    names = list(known)
    return EvaluationError(
        f"There is no {kind} {name!r}; the known ones are {', '.join(names)}{did_you_mean(name, names)}"
    )


def metric_named(name: str) -> Metric:
    """Return a metric by its column.

    Raises
    ------
    EvaluationError
        If there is no such metric.
    """
    if name not in METRICS:
        raise unknown("metric", name, METRICS)
    return METRICS[name]


def judged(rows: pd.DataFrame, metric: Metric) -> Floats:
    """Return a metric (N,) as it is judged: signed errors by their magnitude."""
    found: Floats = rows[metric.name].to_numpy(np.float64)
    return np.abs(found) if metric.signed else found


def object_rows(rows: pd.DataFrame) -> pd.DataFrame:
    """Return rows of objects with all their columns and a fresh index.

    Raises
    ------
    EvaluationError
        If a column is missing, or an object is there twice.
    """
    found = _complete(rows, _OBJECTS, _OBJECTS_MAYBE, "objects.parquet")
    _once(found, [*RUN, *OBJECT, "protocol", "click"])
    return found


def image_rows(images: pd.DataFrame) -> pd.DataFrame:
    """Return rows of images with all their columns and a fresh index; errors as of `object_rows`."""
    found = _complete(images, _IMAGES, _IMAGES_MAYBE, "images.parquet")
    _once(found, [*RUN, *IMAGE])
    return found


def _complete(rows: pd.DataFrame, needed: tuple[str, ...], maybe: tuple[str, ...], file: str) -> pd.DataFrame:
    missing = [name for name in needed if name not in rows] if len(rows) else []
    if missing:
        raise EvaluationError(f"The rows lack {', '.join(missing)}; expected the columns of an evaluation's {file}.")
    absent = [name for name in (*needed, *maybe) if name not in rows]
    return rows.reset_index(drop=True).assign(**dict.fromkeys(absent, np.nan))


def _once(rows: pd.DataFrame, keys: list[str]) -> None:
    twice = rows.duplicated(keys)
    if twice.any():
        first = rows.loc[twice, keys].iloc[0].to_dict()
        what = ", ".join(f"{key} {value}" for key, value in first.items())
        raise EvaluationError(f"{int(twice.sum())} rows are there twice, first {what}; put each run in once.")


def clicks_of(protocol: str) -> int | None:
    """Return N of `clicks:N`; None for any other protocol."""
    count = protocol.removeprefix("clicks:")
    return int(count) if count != protocol and count.isdigit() else None


def clicks_in(protocols: pd.Series) -> pd.Series:
    """Return `clicks_of` each protocol, as float; NaN for None."""
    return protocols.map({name: clicks_of(name) for name in protocols.unique()}).astype("float64")


def last_clicks(rows: pd.DataFrame) -> pd.DataFrame:
    """Return each object's row after the last click, a row an object and protocol; for `clicks:N`, `click` is N.

    An object that no click could better any more has fewer rows than N: its last one stands for the clicks not made.
    """
    last = rows.sort_values("click", kind="stable").drop_duplicates([*RUN, *OBJECT, "protocol"], keep="last")
    return last.assign(click=clicks_in(last["protocol"]).fillna(last["click"]).astype("int64")).sort_index()
