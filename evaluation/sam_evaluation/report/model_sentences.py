"""The sentences about one model on one data set."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from sam_evaluation.click_tables import HARM
from sam_evaluation.gap import HUMANS
from sam_evaluation.protocols.named_protocols import UNPROMPTED
from sam_evaluation.report.findings import Findings, find, records
from sam_evaluation.report.numbers import CLICKS, DIFFERENCE, PERCENT, count, estimate, number
from sam_evaluation.report.phrases import excludes_zero, magnitude, opening, phrase

_NOC_IOU = 0.85
"""The IoU of the sentence about clicks."""

_FEWEST = 5
"""The number of objects from which a class or size can be called the weakest."""


def sentences(findings: Findings, dataset: str, model: str) -> Iterator[str]:
    """Yield the sentences about a model on a data set, the most important first."""
    for protocol in findings.protocols(dataset, model):
        if protocol not in UNPROMPTED:
            yield _quality(findings, dataset, model, protocol)
    yield from _clicks(findings, dataset, model)
    yield from _detection(findings, dataset, model)
    # For a baseline only its distance to the model matters.
    if model in findings.estimating or model == findings.models[0]:
        yield from _weakest(findings, dataset, model)
        yield from _agreement(findings, dataset, model)
    yield from _calibration(findings, dataset, model)


def _quality(findings: Findings, dataset: str, model: str, protocol: str) -> str:
    row = findings.mean(dataset, model, protocol)
    good = findings.mean(dataset, model, protocol, "iou_at_least_0.75")
    cost = findings.mean(dataset, model, protocol, "ambiguity_cost")
    assert row is not None and good is not None and cost is not None  # noqa: PT018 - rows of one table
    text = f"{opening(protocol)}: mean IoU {estimate(row)}; {number(good['value'], PERCENT)} of the objects reach 0.75."
    # A reader sees differences from half a hundredth.
    if model in findings.estimating and cost["value"] >= 0.005:
        text += (
            f" With the best of its candidates each time, it would be {number(row['value'] + cost['value'])}: the "
            f"choice costs {number(cost['value'])}."
        )
    return text


def _clicks(findings: Findings, dataset: str, model: str) -> Iterator[str]:
    for row in _where(findings.noc, dataset=dataset, model=model, iou=_NOC_IOU):
        if row["never"] == 1:
            yield f"{opening(row['protocol'])}, no object has reached IoU {_NOC_IOU:.2f}."
            continue
        others = f"; each of the others counts as {row['cap']}" if row["never"] else ""
        yield (
            f"{opening(row['protocol'])}, {number(1 - row['never'], PERCENT)} of the objects have reached IoU "
            f"{_NOC_IOU:.2f}. The mean number of clicks is {estimate(row, CLICKS)}{others}."
        )
    for row in _where(findings.worsened, dataset=dataset, model=model):
        yield (
            f"{opening(row['protocol'])}, {estimate(row, PERCENT)} of the corrections have made a mask worse by more "
            f"than {HARM:g} of IoU."
        )


def _detection(findings: Findings, dataset: str, model: str) -> Iterator[str]:
    for protocol in UNPROMPTED:
        rows = _where(findings.detection, dataset=dataset, model=model, protocol=protocol, by="all")
        yield from _found(opening(protocol), {row["metric"]: row for row in rows})


def _found(start: str, of: Mapping[str, dict[Any, Any]]) -> Iterator[str]:
    false = (
        f"{estimate(of['false_positives_0.5'], CLICKS)} false positives per image"
        if "false_positives_0.5" in of
        else ""
    )
    if "recall_0.5" in of:
        yield (
            f"{start} it finds {estimate(of['recall_0.5'], PERCENT)} of the objects at IoU 0.5"
            + (f", with {false}." if false else ".")
        )
    elif false:
        yield f"{start} it makes {false}."


def _weakest(findings: Findings, dataset: str, model: str) -> Iterator[str]:
    names = findings.protocols(dataset, model)
    if not names:
        return
    table = pd.DataFrame(
        _where(findings.summary, dataset=dataset, model=model, protocol=names[0], metric="iou"),
        columns=findings.summary.columns,
    )
    for kind, noun, plural in (("label", "class", "classes"), ("size", "size", "sizes")):
        groups = table[(table["by"] == kind) & (table["objects"] >= _FEWEST)].sort_values("value", kind="stable")
        if len(groups) < 2:
            continue
        worst, best = groups.iloc[0].to_dict(), groups.iloc[-1].to_dict()
        if worst["high"] < best["low"]:
            yield (
                f"{opening(names[0])}, the weakest {noun} is {worst['group']} with {estimate(worst)} on "
                f"{count(worst['objects'], 'object')}; the strongest is {best['group']} with {estimate(best)}."
            )
        else:
            ends = f"{number(worst['value'])} to {number(best['value'])}"
            yield f"{opening(names[0])}, no {noun} stands out; the means of the {plural} range from {ends}."


def _agreement(findings: Findings, dataset: str, model: str) -> Iterator[str]:
    people = find(findings.agreement, dataset=dataset, model=HUMANS, metric="iou")
    names = findings.protocols(dataset, model)
    if people is None or not names:
        return
    row = find(findings.agreement, dataset=dataset, model=model, protocol=names[0], metric="iou")
    if row is None:
        return
    text = f"On these images, people agree with each other by IoU {estimate(people)}; {phrase(names[0])}, {model} is"
    difference = {"value": row["difference"], "low": row["difference_low"], "high": row["difference_high"]}
    if excludes_zero(difference):
        yield f"{text} {magnitude(difference)} {'above' if row['difference'] > 0 else 'below'} that."
    else:
        yield f"{text} not clearly different from that ({estimate(difference, DIFFERENCE)})."


def _calibration(findings: Findings, dataset: str, model: str) -> Iterator[str]:
    names = findings.protocols(dataset, model)
    row = find(findings.calibration.errors, dataset=dataset, model=model, protocol=names[0]) if names else None
    if row is None:
        return
    start = f"{opening(names[0])}, the IoU that it predicts for its own masks is"
    if excludes_zero(row):
        side = "too high" if row["value"] > 0 else "too low"
        yield f"{start} {magnitude(row)} {side} on average (expected calibration error {number(row['ece'])})."
    else:
        yield (
            f"{start} right on average, as far as the interval shows ({estimate(row, DIFFERENCE)}; expected "
            f"calibration error {number(row['ece'])})."
        )


def _where(table: pd.DataFrame, **where: object) -> list[dict[Any, Any]]:
    for column, value in where.items():
        table = table[table[column] == value]
    return records(table)
