"""Bounds that a model must meet to pass a pipeline, such as `iou.box>=0.7, noc90.clicks<=8, fp.everything<=2`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from sam_evaluation import metrics
from sam_evaluation.bounds import Bound
from sam_evaluation.click_tables import NOC, clicks_needed
from sam_evaluation.errors import EvaluationError
from sam_evaluation.measurement import LIMITS, RECALLS
from sam_evaluation.protocols.named_protocols import AFTER_CLICK, UNPROMPTED, parse_protocols
from sam_evaluation.row_columns import METRICS, RUN, clicks_of, image_rows, judged, last_clicks, object_rows, unknown
from sam_evaluation.summary_tables import DETECTED, image_ratios

CLICKS = "clicks"
"""The protocol of a condition that means the only `clicks:N` of a run."""

_NOC = {f"noc{threshold * 100:.0f}": threshold for threshold in NOC}
_RECALL = {f"recall{threshold:g}": threshold for threshold in RECALLS}
_IMAGES = {
    "precision": f"precision_{DETECTED:g}",
    "f1": f"f1_{DETECTED:g}",
    "fp": f"false_positives_{DETECTED:g}",
    **{f"ar{limit}": f"average_recall_{limit}" for limit in LIMITS},
    "pro": "region_overlap",
}
_ECE = "ece"
_UNPROMPTED = (*_RECALL, *_IMAGES)
_SHARES = {*(name for name, metric in METRICS.items() if metric.bounded), *_RECALL, *_IMAGES, _ECE} - {"fp"}

KNOWN = (*METRICS, _ECE, *_NOC, *_UNPROMPTED)
"""The metrics that a condition can bound."""

_CONDITION = re.compile(r"\s*([^<>=\s]+)\s*((?:>=|<=|>|<).*)")


@dataclass(frozen=True)
class GateCondition:
    """A bound on one metric with one protocol.

    Attributes
    ----------
    metric : str, one of `KNOWN`.
    protocol : str, its name; "clicks" means the only `clicks:N` of the run.
    bound : Bound, which the metric must meet.
    """

    metric: str
    protocol: str
    bound: Bound

    @property
    def name(self) -> str:
        """The name that a user writes: `metric.protocol`."""
        return f"{self.metric}.{self.protocol}"


@dataclass(frozen=True)
class GateResult:
    """The result of a condition.

    Attributes
    ----------
    name : str, `metric.protocol`.
    measured : float; NaN if no object had a value.
    bound : Bound.
    met : bool; False if `measured` is NaN.
    """

    name: str
    measured: float
    bound: Bound
    met: bool


def parse_gate(text: str) -> list[GateCondition]:
    """Read conditions, `metric.protocol` with a comparator and a number each, separated by commas.

    Metrics are the columns of `row_columns.METRICS` (means over objects after the last click; signed errors by their
    magnitude), `ece` (expected calibration error); by `clicks:N` also `noc80`, `noc85`, `noc90`; by `everything`,
    `text` and `exemplar` also `recall0.1`, `recall0.5`, `recall0.75`, `precision`, `f1`, `fp` (false positives an
    image), `ar10`, `ar100`, `ar1000`, `pro`, as `summary_tables.detection` defines them.

    Raises
    ------
    EvaluationError
        If a condition is not of this form, its metric or protocol is unknown, or the two do not belong together.

    Examples
    --------
    >>> [(condition.name, str(condition.bound)) for condition in parse_gate("iou.box>=0.7, recall0.5.everything>=0.9")]
    [('iou.box', '>= 0.7'), ('recall0.5.everything', '>= 0.9')]
    """
    conditions = [_parse(part) for part in text.split(",") if part.strip()]
    if not conditions:
        raise EvaluationError("A gate needs at least one condition, such as iou.box>=0.7.")
    return conditions


def _parse(text: str) -> GateCondition:
    match = _CONDITION.fullmatch(text)
    metric, dot, protocol = match[1].rpartition(".") if match else ("", "", "")
    if match is None or not dot:
        raise EvaluationError(f"A condition is metric.protocol>=number, such as iou.box>=0.7; got {text.strip()!r}.")
    if metric not in KNOWN:
        raise unknown("metric", metric, KNOWN)
    if protocol != CLICKS:
        parse_protocols(protocol)
    if metric in _NOC and protocol != CLICKS and clicks_of(protocol) is None:
        raise EvaluationError(f"{metric} is measured by clicks:N; got {metric}.{protocol}. Write {metric}.clicks.")
    if metric in _UNPROMPTED and protocol not in UNPROMPTED:
        raise EvaluationError(
            f"{metric} is measured by {' or '.join(UNPROMPTED)}; got {metric}.{protocol}. Write {metric}.everything."
        )
    return GateCondition(metric, protocol, Bound.parse(match[2], f"{metric}.{protocol}", share=metric in _SHARES))


def evaluate_gate(
    conditions: Sequence[GateCondition], rows: pd.DataFrame, images: pd.DataFrame | None = None
) -> list[GateResult]:
    """Measure each condition over the objects of all data sets together.

    A good data set can hide a bad one. To avoid that, evaluate each data set separately.

    Parameters
    ----------
    conditions : list of GateCondition, from `parse_gate`.
    rows : DataFrame, the rows of the objects, of one model and version.
    images : DataFrame, the rows of the images; `precision`, `f1`, `fp`, `ar*` and `pro` need them.

    Raises
    ------
    EvaluationError
        If a protocol was not run, `clicks` is ambiguous, the rows are of several models, or `images` is missing.
    """
    objects = object_rows(rows)
    runs = [" ".join(map(str, run)) for run in objects[list(RUN)].drop_duplicates().itertuples(index=False)]
    if len(runs) != 1:
        raise EvaluationError(
            f"A gate judges one model; got rows of {', '.join(runs) or 'none'}. Keep the rows of one model."
        )
    last = last_clicks(objects)
    results = []
    for condition in conditions:
        protocol = _protocol(condition, last["protocol"].unique().tolist(), images)
        if condition.metric in _IMAGES:
            measured = _of_images(condition, images)
        elif condition.metric in _NOC:
            needed = clicks_needed(objects[objects["protocol"] == protocol], _NOC[condition.metric])
            measured = float(needed["clicks"].mean())
        else:
            measured = _of_objects(condition.metric, last[last["protocol"] == protocol])
        results.append(GateResult(condition.name, measured, condition.bound, bool(condition.bound.holds(measured))))
    return results


def _protocol(condition: GateCondition, measured: list[str], images: pd.DataFrame | None) -> str:
    if condition.protocol == CLICKS:
        clicked = [name for name in measured if name.startswith(AFTER_CLICK)]
        if len(clicked) > 1:
            raise EvaluationError(f"{condition.name} could be any of {', '.join(clicked)}; write the full name of one.")
        if clicked:
            return clicked[0]
    # If no image has an object, there are only rows of images.
    elif condition.protocol in measured or (condition.metric in _IMAGES and images is not None and len(images)):
        return condition.protocol
    raise EvaluationError(
        f"{condition.name} needs the protocol {condition.protocol}; the rows have {', '.join(measured)}. "
        "Evaluate with it."
    )


def _of_objects(metric: str, rows: pd.DataFrame) -> float:
    if metric in _RECALL:
        return float((rows["iou"] >= _RECALL[metric]).mean())
    if metric == _ECE:
        predicted = rows[rows["predicted_iou"].notna()]
        return metrics.expected_calibration_error(predicted["predicted_iou"], predicted["iou"])
    return float(pd.Series(judged(rows, METRICS[metric])).mean())


def _of_images(condition: GateCondition, images: pd.DataFrame | None) -> float:
    if images is None or images.empty:
        raise EvaluationError(f"{condition.name} needs the rows of images; give images.parquet beside objects.parquet.")
    rows = image_rows(images)
    names, sums, counts = image_ratios(rows[rows["protocol"] == condition.protocol])
    column = names.index(_IMAGES[condition.metric])
    total = float(counts[:, column].sum())
    return float(sums[:, column].sum()) / total if total else float("nan")
