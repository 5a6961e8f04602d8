"""The section "Read with care": what a reader must know to understand the numbers of a run."""

from __future__ import annotations

from collections.abc import Iterator

from sam_evaluation.comparison import FEWEST_IMAGES
from sam_evaluation.protocols.concept_protocols import TEXT
from sam_evaluation.protocols.named_protocols import EVERYTHING
from sam_evaluation.report.findings import Findings
from sam_evaluation.report.numbers import count, listed


def cautions(findings: Findings) -> Iterator[str]:
    """Yield the cautions that apply to a run, as sentences."""
    rows = findings.rows
    images = {name: rows.loc[rows["dataset"] == name, "sample"].nunique() for name in findings.datasets}
    few = [f"{name} ({count(number, 'image')})" for name, number in images.items() if 0 < number < FEWEST_IMAGES]
    if few:
        yield (
            f"Fewer than {FEWEST_IMAGES} images with objects: {listed(few)}. The intervals are too narrow there; use "
            "these numbers only as a first impression."
        )
    empty = [name for name, number in images.items() if not number]
    if empty:
        yield f"No object was evaluated on {listed(empty)}."
    limited = [name for name, card in findings.about["datasets"].items() if card["samples"] < card["of"]]
    if limited:
        yield f"Only some of the images of {listed(limited)} were evaluated, evenly spread over the data."
    broken = findings.run.broken
    if len(broken):
        unusable = len(broken.drop_duplicates(["dataset", "sample"]))
        yield f"{count(unusable, 'image')} could not be used; the reasons are at the end."
    if len(findings.gap):
        yield (
            "Objects in natural images differ from defects not only in the domain, but also in size and in what people "
            "count as one object. Compare objects of the same size before you blame the domain."
        )
    if len(findings.agreement):
        yield (
            "People divide an image into more or fewer objects, so their outlines agree little even if each outline is "
            "exact. A model is shown the same object that it is measured against."
        )
    guessing = [name for name in findings.models if name not in findings.estimating and (rows["model"] == name).any()]
    if guessing and not findings.about["settings"].get("pipeline"):
        yield (
            f"{listed(guessing)} {'does' if len(guessing) == 1 else 'do'} not estimate how good a mask is; calibration "
            "and the cost of the choice are left out there."
        )
    if not rows["protocol"].isin((EVERYTHING, TEXT)).all():
        yield (
            "Boxes and clicks are simulated from the ground truth; people place them less exactly. Where the "
            "annotation is rough, the IoU of thin and small objects is low for every model."
        )
