"""The summary in plain sentences: what was found, how sure it is, and what it does not say."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from sam_evaluation.comparison import FEWEST_IMAGES
from sam_evaluation.gap import ALL_INDUSTRIAL, HUMANS
from sam_evaluation.protocols.named_protocols import EVERYTHING
from sam_evaluation.report.findings import Findings, find, phrase
from sam_evaluation.report.numbers import CLICKS, DIFFERENCE, PERCENT, count, estimate, listed, number

_WAITED = 0.85
"""IoU of the sentence about clicks."""

_FEWEST = 5
"""Objects that a class or size must have to be called the weakest."""


@dataclass(frozen=True)
class ModelSentences:
    """Sentences about one model on one data set."""

    model: str
    sentences: tuple[str, ...]


@dataclass(frozen=True)
class Chapter:
    """What is told of one data set.

    Attributes
    ----------
    dataset : by name.
    size : how many objects and images.
    models : each with its sentences.
    verdicts : the first model beside the others.
    """

    dataset: str
    size: str
    models: tuple[ModelSentences, ...]
    verdicts: tuple[str, ...]


@dataclass(frozen=True)
class Words:
    """The summary.

    Attributes
    ----------
    lead : what was done, and the most important results.
    chapters : one a data set.
    cautions : what must be known to read the numbers right.
    """

    lead: tuple[str, ...]
    chapters: tuple[Chapter, ...]
    cautions: tuple[str, ...]


def words(found: Findings) -> Words:
    """Put the findings into words."""
    chapters = tuple(_chapter(found, dataset) for dataset in found.datasets)
    return Words(tuple(_lead(found)), chapters, tuple(_cautions(found)))


def _lead(found: Findings) -> Iterator[str]:
    objects = found.rows.drop_duplicates(["dataset", "sample", "object"])
    data = count(len(found.datasets), "data set")
    if objects.empty:
        yield f"{count(len(found.models), 'model')} on {data}: no object could be evaluated, so that there is no IoU."
        return
    images = len(objects[["dataset", "sample"]].drop_duplicates())
    yield (
        f"{count(len(found.models), 'model')} on {data}: {count(len(objects), 'object')} in {count(images, 'image')}."
    )
    model = next(name for name in found.models if (found.rows["model"] == name).any())
    protocols = {name for dataset in found.datasets for name in found.protocols(dataset, model)}
    for protocol in [name for name in ("box", "click") if name in protocols] or sorted(protocols)[:1]:
        told = [
            f"{estimate(row)} on {dataset}"
            for dataset in found.datasets
            if (row := _mean(found, dataset, model, protocol)) is not None
        ]
        yield f"{_start(protocol)}, {model} reaches a mean IoU of {listed(told)}.{_gap(found, model, protocol)}"
    yield from _requirements(found, model)


def _gap(found: Findings, model: str, protocol: str) -> str:
    row = find(found.gap, model=model, protocol=protocol, dataset=ALL_INDUSTRIAL, metric="iou")
    if row is None:
        return ""
    natural = f"the natural ones of {listed(sorted(found.natural & set(found.datasets)))}"
    if _excludes_zero(row):
        side = "lower" if row["value"] < 0 else "higher"
        return f" On industrial images that is {_magnitude(row)} {side} than on {natural}."
    return f" Between industrial images and {natural} no difference could be shown ({estimate(row, DIFFERENCE)})."


def _requirements(found: Findings, model: str) -> Iterator[str]:
    if found.requirements.empty:
        return
    table = found.requirements[(found.requirements["label"] == "") & (found.requirements["model"] == model)]
    for dataset in found.datasets:
        here = table[(table["dataset"] == dataset) & (table["objects"] > 0)]
        recalls = here["condition"].str.startswith("recall")
        together = here[here["condition"] == "all"].sort_values("value", ascending=False, kind="stable")
        if len(together):
            best = together.iloc[0].to_dict()
            single = here[(here["protocol"] == best["protocol"]) & (here["condition"] != "all") & ~recalls]
            least = single.sort_values("value", kind="stable").iloc[0].to_dict()
            most = f"; most fail {least['condition']} ({number(least['value'], PERCENT)} meet it)"
            yield (
                f"On {dataset}, {estimate(best, PERCENT)} of the objects meet all requirements with {model} "
                f"{phrase(best['protocol'])}{most if least['value'] < 1 else ''}."
            )
        for row in _dicts(here[recalls]):
            answer = "is met" if row["met"] else "is not met"
            yield f"On {dataset}, the required {row['condition']} {answer}: {estimate(row, PERCENT)}."


def _chapter(found: Findings, dataset: str) -> Chapter:
    rows = found.rows[found.rows["dataset"] == dataset]
    objects = rows.drop_duplicates(["sample", "object"])
    images = count(objects["sample"].nunique(), "image")
    size = f"{count(len(objects), 'object')} in {images}" if len(objects) else "no objects"
    told = (ModelSentences(model, tuple(_sentences(found, dataset, model))) for model in found.models)
    verdicts = found.verdicts.loc[found.verdicts["dataset"] == dataset, "verdict"]
    return Chapter(dataset, size, tuple(each for each in told if each.sentences), tuple(verdicts))


def _sentences(found: Findings, dataset: str, model: str) -> Iterator[str]:
    """Yield what there is to say about a model on a data set, the most important first."""
    for protocol in found.protocols(dataset, model):
        if protocol != EVERYTHING:
            yield _quality(found, dataset, model, protocol)
    for row in _where(found.noc, dataset=dataset, model=model, iou=_WAITED):
        if row["never"] == 1:
            yield f"Within {row['cap']} clicks, no object reaches IoU {_WAITED:.2f}."
            continue
        others = f", where the others count as {row['cap']}" if row["never"] else ""
        yield (
            f"Within {row['cap']} clicks, {number(1 - row['never'], PERCENT)} of the objects reach IoU {_WAITED:.2f}: "
            f"{estimate(row, CLICKS)} clicks on average{others}."
        )
    yield from _detection(found, dataset, model)
    # Of a baseline, nobody asks more than how far the model is above it.
    if model in found.estimating or model == found.models[0]:
        yield from _weakest(found, dataset, model)
        yield from _agreement(found, dataset, model)
    yield from _calibration(found, dataset, model)


def _quality(found: Findings, dataset: str, model: str, protocol: str) -> str:
    row = _mean(found, dataset, model, protocol)
    good = _mean(found, dataset, model, protocol, "iou_at_least_0.75")
    cost = _mean(found, dataset, model, protocol, "ambiguity_cost")
    assert row is not None and good is not None and cost is not None  # noqa: PT018 - of one table, made together
    told = f"{_start(protocol)}: mean IoU {estimate(row)}; {number(good['value'], PERCENT)} of the objects reach 0.75."
    # Half a hundredth is what a reader sees.
    if model in found.estimating and cost["value"] >= 0.005:
        told += (
            f" Had it always taken the best of its candidates, it would be {number(row['value'] + cost['value'])}: the "
            f"choice costs {number(cost['value'])}."
        )
    return told


def _detection(found: Findings, dataset: str, model: str) -> Iterator[str]:
    of = {row["metric"]: row for row in _where(found.detection, dataset=dataset, model=model, by="all")}
    if not of:
        return
    false = (
        f"{estimate(of['false_positives_0.5'], CLICKS)} false positives an image" if "false_positives_0.5" in of else ""
    )
    if "recall_0.5" in of:
        yield (
            f"Without a prompt it finds {estimate(of['recall_0.5'], PERCENT)} of the objects at IoU 0.5"
            + (f", with {false}." if false else ".")
        )
    elif false:
        yield f"Without a prompt it makes {false}."


def _weakest(found: Findings, dataset: str, model: str) -> Iterator[str]:
    names = found.protocols(dataset, model)
    if not names:
        return
    table = pd.DataFrame(
        _where(found.summary, dataset=dataset, model=model, protocol=names[0], metric="iou"),
        columns=found.summary.columns,
    )
    for kind, what, several in (("label", "class", "classes"), ("size", "size", "sizes")):
        groups = table[(table["by"] == kind) & (table["objects"] >= _FEWEST)].sort_values("value", kind="stable")
        if len(groups) < 2:
            continue
        worst, best = groups.iloc[0].to_dict(), groups.iloc[-1].to_dict()
        if worst["high"] < best["low"]:
            yield (
                f"{_start(names[0])}, the weakest {what} is {worst['group']} with {estimate(worst)} on "
                f"{count(worst['objects'], 'object')}, the strongest {best['group']} with {estimate(best)}."
            )
        else:
            ends = f"{number(worst['value'])} to {number(best['value'])}"
            yield f"{_start(names[0])}, no {what} stands out; the means of {several} go from {ends}."


def _agreement(found: Findings, dataset: str, model: str) -> Iterator[str]:
    people = find(found.agreement, dataset=dataset, model=HUMANS, metric="iou")
    names = found.protocols(dataset, model)
    if people is None or not names:
        return
    row = find(found.agreement, dataset=dataset, model=model, protocol=names[0], metric="iou")
    if row is None:
        return
    told = f"People agree with each other by IoU {estimate(people)} on these images; {phrase(names[0])}, {model} is"
    difference = {"value": row["difference"], "low": row["difference_low"], "high": row["difference_high"]}
    if _excludes_zero(difference):
        yield f"{told} {_magnitude(difference)} {'above' if row['difference'] > 0 else 'below'} that."
    else:
        yield f"{told} not clearly apart from that ({estimate(difference, DIFFERENCE)})."


def _calibration(found: Findings, dataset: str, model: str) -> Iterator[str]:
    names = found.protocols(dataset, model)
    row = find(found.calibration.errors, dataset=dataset, model=model, protocol=names[0]) if names else None
    if row is None:
        return
    start = f"{_start(names[0])}, the IoU that it predicts for its own masks is"
    if _excludes_zero(row):
        side = "too high" if row["value"] > 0 else "too low"
        yield f"{start} {_magnitude(row)} {side} on average (expected calibration error {number(row['ece'])})."
    else:
        yield (
            f"{start} right on average, as far as the interval tells ({estimate(row, DIFFERENCE)}; expected "
            f"calibration error {number(row['ece'])})."
        )


def _cautions(found: Findings) -> Iterator[str]:
    rows = found.rows
    images = {name: rows.loc[rows["dataset"] == name, "sample"].nunique() for name in found.datasets}
    few = [f"{name} ({count(many, 'image')})" for name, many in images.items() if 0 < many < FEWEST_IMAGES]
    if few:
        yield (
            f"Fewer than {FEWEST_IMAGES} images with objects: {listed(few)}. The intervals there are too narrow; take "
            "these numbers for a first impression."
        )
    empty = [name for name, many in images.items() if not many]
    if empty:
        yield f"No object was evaluated on {listed(empty)}."
    limited = [name for name, card in found.about["datasets"].items() if card["samples"] < card["of"]]
    if limited:
        yield f"Only some of the images were taken, evenly spread over {listed(limited)}."
    broken = found.run.broken
    if len(broken):
        many = len(broken.drop_duplicates(["dataset", "sample"]))
        yield f"{count(many, 'image')} could not be used; the reasons are at the end."
    if len(found.gap):
        yield (
            "Objects of natural images differ from defects in more than the domain: in size, and in what people count "
            "as one object. Compare objects of one size before you blame the domain."
        )
    if len(found.agreement):
        yield (
            "People divide an image more or less finely, so that their outlines agree little even where each is exact; "
            "a model is shown the very object that it is measured against."
        )
    guessing = [name for name in found.models if name not in found.estimating and (rows["model"] == name).any()]
    if guessing:
        yield (
            f"{listed(guessing)} {'does' if len(guessing) == 1 else 'do'} not estimate how good a mask is; calibration "
            "and the cost of choosing are left out there."
        )
    if (rows["protocol"] != EVERYTHING).any():
        yield (
            "Boxes and clicks are simulated from the ground truth; people place them less exactly. Where an annotation "
            "is rough, the IoU of thin and small objects is low for any model."
        )


def _mean(found: Findings, dataset: str, model: str, protocol: str, metric: str = "iou") -> dict[Any, Any] | None:
    return find(found.summary, dataset=dataset, model=model, protocol=protocol, by="all", metric=metric)


def _start(protocol: str) -> str:
    """Return how a protocol reads at the start of a sentence."""
    told = phrase(protocol)
    return told[0].upper() + told[1:]


def _dicts(frame: pd.DataFrame) -> list[dict[Any, Any]]:
    found: list[dict[Any, Any]] = frame.to_dict("records")
    return found


def _where(table: pd.DataFrame, **where: object) -> list[dict[Any, Any]]:
    for column, value in where.items():
        table = table[table[column] == value]
    return _dicts(table)


def _excludes_zero(row: dict[Any, Any]) -> bool:
    return bool(np.sign(row["low"]) == np.sign(row["high"]) != 0)


def _magnitude(row: dict[Any, Any]) -> str:
    """Write a difference whose sign the sentence tells."""
    ends = sorted((abs(row["low"]), abs(row["high"])))
    return f"{number(abs(row['value']))} [{number(ends[0])}, {number(ends[1])}]"
