"""The columns of the rows of an evaluation, and the functions with which every table reads them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from sam_backend.names import did_you_mean
from sam_evaluation.errors import EvaluationError
from sam_evaluation.measurement import LIMITS, RECALLS, TOLERANCES
from sam_evaluation.metrics import Floats
from sam_evaluation.protocols.named_protocols import AFTER_BOX, CORRECTED, EVERYTHING

RUN = ("model", "version")
IMAGE = ("dataset", "sample")
OBJECT = (*IMAGE, "object", "annotator")
CELL = (*RUN, "dataset", "protocol", "click")
"""The columns that identify one number of a table."""


@dataclass(frozen=True)
class Metric:
    """A column that measures the quality of a mask.

    Attributes
    ----------
    name : str, the name of the column.
    title : str, the name of the metric in sentences.
    higher_is_better : bool.
    unit : str, "px", or "" for a share.
    signed : bool, whether the metric is an error that may be negative. Tables that judge use its absolute value.
    """

    name: str
    title: str
    higher_is_better: bool = True
    unit: str = ""
    signed: bool = False

    @property
    def bounded(self) -> bool:
        """Whether the values lie between 0 and 1."""
        return not self.unit and not self.signed


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
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
# These columns are missing in a file in which no row has a value for them.
_OBJECTS_MAYBE = (*METRICS, "predicted_iou")
_IMAGES = (
    *(*RUN, *IMAGE, "protocol", "objects", "proposals"),
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
    """Return a metric by the name of its column.

    Raises
    ------
    EvaluationError
        If there is no such metric.
    """
    if name not in METRICS:
        raise unknown("metric", name, METRICS)
    return METRICS[name]


def judged(rows: pd.DataFrame, metric: Metric) -> Floats:
    """Return the values (N,) of a metric for a judgement: the absolute values of signed errors."""
    values: Floats = rows[metric.name].to_numpy(np.float64)
    return np.abs(values) if metric.signed else values


def object_rows(rows: pd.DataFrame) -> pd.DataFrame:
    """Return rows of objects with all columns and a new index.

    Raises
    ------
    EvaluationError
        If a column is missing, or an object occurs twice.
    """
    complete = _complete(rows, _OBJECTS, _OBJECTS_MAYBE, "objects.parquet")
    _check_unique(complete, [*RUN, *OBJECT, "protocol", "click"])
    return complete


def image_rows(images: pd.DataFrame) -> pd.DataFrame:
    """Return rows of images with all columns and a new index; the errors are those of `object_rows`.

    Rows of earlier versions, which have no protocol, are those of `everything`.
    """
    known = images if "protocol" in images else images.assign(protocol=EVERYTHING)
    complete = _complete(known, _IMAGES, _IMAGES_MAYBE, "images.parquet")
    _check_unique(complete, [*RUN, *IMAGE, "protocol"])
    return complete


def _complete(rows: pd.DataFrame, required: tuple[str, ...], optional: tuple[str, ...], file: str) -> pd.DataFrame:
    missing = [name for name in required if name not in rows] if len(rows) else []
    if missing:
        raise EvaluationError(f"The rows lack {', '.join(missing)}; expected the columns of an evaluation's {file}.")
    absent = [name for name in (*required, *optional) if name not in rows]
    return rows.reset_index(drop=True).assign(**dict.fromkeys(absent, np.nan))


def _check_unique(rows: pd.DataFrame, keys: list[str]) -> None:
    repeated = rows.duplicated(keys)
    if repeated.any():
        first = rows.loc[repeated, keys].iloc[0].to_dict()
        description = ", ".join(f"{key} {value}" for key, value in first.items())
        raise EvaluationError(f"{int(repeated.sum())} rows are there twice, first {description}; put each run in once.")


def clicks_of(protocol: str) -> int | None:
    """Return N of `clicks:N`, `box+clicks:N` and `spread-clicks:N`; None for any other protocol."""
    kind, _, count = protocol.partition(":")
    return int(count) if f"{kind}:" in CORRECTED and count.isdigit() else None


def first_click_of(protocol: str) -> int:
    """Return the `click` of the first row of an object by a protocol with corrections: 0 if a box comes first."""
    return 0 if protocol.startswith(AFTER_BOX) else 1


def clicks_in(protocols: pd.Series) -> pd.Series:
    """Return `clicks_of` for each protocol, as float64; NaN where it is None."""
    return protocols.map({name: clicks_of(name) for name in protocols.unique()}).astype("float64")


def last_clicks(rows: pd.DataFrame) -> pd.DataFrame:
    """Return one row per object and protocol: the row after the last click. With corrections, `click` is N.

    An object whose mask became perfect has fewer than N rows. Its last row also stands for the clicks not made.
    """
    last = rows.sort_values("click", kind="stable").drop_duplicates([*RUN, *OBJECT, "protocol"], keep="last")
    return last.assign(click=clicks_in(last["protocol"]).fillna(last["click"]).astype("int64")).sort_index()
