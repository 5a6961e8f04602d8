"""The summary in plain sentences: the results, how sure they are, and what they do not show."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sam_evaluation.gap import ALL_INDUSTRIAL
from sam_evaluation.report.cautions import cautions
from sam_evaluation.report.findings import Findings, find, records
from sam_evaluation.report.model_sentences import sentences
from sam_evaluation.report.numbers import DIFFERENCE, PERCENT, count, estimate, listed, number
from sam_evaluation.report.phrases import excludes_zero, magnitude, opening, phrase


@dataclass(frozen=True)
class ModelSentences:
    """The sentences about one model on one data set."""

    name: str
    sentences: tuple[str, ...]


@dataclass(frozen=True)
class Chapter:
    """The summary of one data set.

    Attributes
    ----------
    dataset : str, its name.
    size : str, the numbers of objects and images.
    models : tuple of ModelSentences.
    verdicts : tuple of str, the comparisons of the first model with the others.
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
    lead : tuple of str, what was evaluated, and the most important results.
    chapters : tuple of Chapter, one per data set.
    cautions : tuple of str, what a reader must know to understand the numbers.
    """

    lead: tuple[str, ...]
    chapters: tuple[Chapter, ...]
    cautions: tuple[str, ...]


def words(findings: Findings) -> Words:
    """Return the summary of a run."""
    chapters = tuple(_chapter(findings, dataset) for dataset in findings.datasets)
    return Words(tuple(_lead(findings)), chapters, tuple(cautions(findings)))


def _lead(findings: Findings) -> Iterator[str]:
    objects = findings.rows.drop_duplicates(["dataset", "sample", "object"])
    start = f"{count(len(findings.models), 'model')} on {count(len(findings.datasets), 'data set')}:"
    if objects.empty:
        yield f"{start} no object could be evaluated, so there is no IoU."
        return
    images = len(objects[["dataset", "sample"]].drop_duplicates())
    yield f"{start} {count(len(objects), 'object')} in {count(images, 'image')}."
    model = next(name for name in findings.models if (findings.rows["model"] == name).any())
    protocols = {name for dataset in findings.datasets for name in findings.protocols(dataset, model)}
    for protocol in [name for name in ("box", "click") if name in protocols] or sorted(protocols)[:1]:
        means = [
            f"{estimate(row)} on {dataset}"
            for dataset in findings.datasets
            if (row := findings.mean(dataset, model, protocol)) is not None
        ]
        yield f"{opening(protocol)}, {model} reaches a mean IoU of {listed(means)}.{_gap(findings, model, protocol)}"
    yield from _requirements(findings, model)


def _gap(findings: Findings, model: str, protocol: str) -> str:
    row = find(findings.gap, model=model, protocol=protocol, dataset=ALL_INDUSTRIAL, metric="iou")
    if row is None:
        return ""
    natural = f"the natural images of {listed(sorted(findings.natural & set(findings.datasets)))}"
    if excludes_zero(row):
        side = "lower" if row["value"] < 0 else "higher"
        return f" On industrial images it is {magnitude(row)} {side} than on {natural}."
    difference = estimate(row, DIFFERENCE)
    return f" No difference could be shown between industrial images and {natural} ({difference})."


def _requirements(findings: Findings, model: str) -> Iterator[str]:
    if findings.requirements.empty:
        return
    table = findings.requirements[(findings.requirements["label"] == "") & (findings.requirements["model"] == model)]
    for dataset in findings.datasets:
        rows = table[(table["dataset"] == dataset) & (table["objects"] > 0)]
        is_recall = rows["condition"].str.startswith("recall")
        together = rows[rows["condition"] == "all"].sort_values("value", ascending=False, kind="stable")
        if len(together):
            best = together.iloc[0].to_dict()
            single = rows[(rows["protocol"] == best["protocol"]) & (rows["condition"] != "all") & ~is_recall]
            least = single.sort_values("value", kind="stable").iloc[0].to_dict()
            hardest = f"; most fail {least['condition']} ({number(least['value'], PERCENT)} meet it)"
            yield (
                f"On {dataset}, {phrase(best['protocol'])}, the masks of {model} meet all requirements for "
                f"{estimate(best, PERCENT)} of the objects{hardest if least['value'] < 1 else ''}."
            )
        for row in records(rows[is_recall]):
            answer = "is met" if row["met"] else "is not met"
            yield f"On {dataset}, the required {row['condition']} {answer}: {estimate(row, PERCENT)}."


def _chapter(findings: Findings, dataset: str) -> Chapter:
    rows = findings.rows[findings.rows["dataset"] == dataset]
    objects = rows.drop_duplicates(["sample", "object"])
    images = count(objects["sample"].nunique(), "image")
    size = f"{count(len(objects), 'object')} in {images}" if len(objects) else "no objects"
    models = (ModelSentences(model, tuple(sentences(findings, dataset, model))) for model in findings.models)
    verdicts = findings.verdicts.loc[findings.verdicts["dataset"] == dataset, "verdict"]
    return Chapter(dataset, size, tuple(model for model in models if model.sentences), tuple(verdicts))
