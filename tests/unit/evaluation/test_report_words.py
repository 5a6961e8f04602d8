"""The sentences of a report, from rows with known numbers."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from evaluation_rows import clicked, images, ious, objects
from evaluation_run import run_of
from sam_evaluation.report.findings import Findings
from sam_evaluation.report.numbers import NOTHING
from sam_evaluation.report.words import Words, words
from sam_evaluation.requirements import parse_requirements


def text_of(findings: Findings) -> str:
    """Return all sentences of a summary, one per line."""
    summary: Words = words(findings)
    of_models = [line for chapter in summary.chapters for model in chapter.models for line in model.sentences]
    verdicts = [line for chapter in summary.chapters for line in chapter.verdicts]
    return "\n".join((*summary.lead, *of_models, *verdicts, *summary.cautions)).replace("\N{NO-BREAK SPACE}", " ")


def test_the_mean_is_reported_with_its_interval_and_what_the_choice_of_a_candidate_costs() -> None:
    rows = objects(*({"iou": 0.6, "iou_oracle": 0.7, "predicted_iou": 0.5 + place / 100} for place in range(12)))
    text = text_of(Findings.of(run_of(rows)))
    assert "With a box, a reaches a mean IoU of 0.600 [0.600, 0.600] on parts." in text
    assert "With a box: mean IoU 0.600 [0.600, 0.600]; 0 % of the objects reach 0.75." in text
    assert "it would be 0.700: the choice costs 0.100" in text
    assert "too narrow" not in text


def test_a_model_without_estimates_of_its_own_gets_no_words_on_choice_and_calibration() -> None:
    rows = objects(*({"iou": 0.6, "iou_oracle": 0.7, "predicted_iou": 0.5} for _ in range(12)))
    text = text_of(Findings.of(run_of(rows)))
    assert "choice costs" not in text
    assert "predicts for its own masks" not in text
    assert "a does not estimate how good a mask is" in text


def test_few_images_are_warned_of() -> None:
    assert "Fewer than 10 images with objects: parts (3 images)" in text_of(Findings.of(run_of(ious(0.1, 0.2, 0.3))))


def test_clicks_show_who_never_gets_there() -> None:
    rows = clicked([0.2, 0.9], [0.2, 0.3], [0.2, 0.4], [0.9], count=2)
    text = text_of(Findings.of(run_of(rows)))
    assert "After 2 clicks, 50 % of the objects have reached IoU 0.85. The mean number of clicks is 1.8 [" in text
    assert "each of the others counts as 2" in text
    never = text_of(Findings.of(run_of(clicked([0.2, 0.1], count=2, box=True))))
    assert "After a box and 2 clicks, no object has reached IoU 0.85." in never
    assert f"100 % [{NOTHING}] of the corrections have made a mask worse by more than 0.02 of IoU." in never


def test_detection_reports_recall_and_false_positives() -> None:
    rows = objects({"iou": 0.6}, {"iou": 0.0}, protocol="everything")
    image_rows = images({"objects": 1, "proposals": 3, "matched_0.5": 1}, {"objects": 1, "proposals": 2})
    text = text_of(Findings.of(run_of(rows, image_rows)))
    assert "Without a prompt it finds 50 % [0, 100] of the objects at IoU 0.5, with 2.0 [2.0, 2.0] false" in text


@pytest.mark.parametrize(
    ("industrial", "sentence"),
    [
        (0.5, "On industrial images it is 0.300 [0.300, 0.300] lower than on the natural images of photos."),
        (0.8, "No difference could be shown between industrial images and the natural images of photos (+0.000"),
    ],
)
def test_the_gap_to_natural_images_is_reported_only_where_it_is_sure(industrial: float, sentence: str) -> None:
    rows = pd.concat([ious(*[industrial] * 12), ious(*[0.8] * 12, dataset="photos")])
    run = run_of(rows, datasets={"parts": "industrial", "photos": "natural"})
    assert sentence in text_of(Findings.of(run))


def test_requirements_are_of_industrial_images_and_name_what_fails_most() -> None:
    same = [{"iou": 0.9, "boundary_f": value} for value in (0.9, 0.2, 0.2, 0.2)]
    rows = pd.concat([objects(*same), objects(*same, dataset="photos")])
    needs = parse_requirements('[object]\niou = ">= 0.8"\nboundary_f = ">= 0.5"')
    findings = Findings.of(run_of(rows, datasets={"parts": "industrial", "photos": "natural"}), requirements=needs)
    text = text_of(findings)
    assert "On parts, with a box, the masks of a meet all requirements for 25 % [0, 75] of the objects" in text
    assert "most fail boundary_f >= 0.5 (25 % meet it)" in text
    assert "On photos" not in text


def test_the_weakest_class_is_named_only_where_the_intervals_are_apart() -> None:
    dents, scratches = ({"iou": 0.3, "label": "dent"}, {"iou": 0.9})
    assert "the weakest class is dent with 0.300" in text_of(Findings.of(run_of(objects(*[dents, scratches] * 6))))
    mixed = [{"iou": iou, "label": label} for iou in (0.1, 0.9) for label in ("dent", "crack")] * 5
    assert "no class stands out" in text_of(Findings.of(run_of(objects(*mixed))))


def test_over_and_under_rating_are_distinguished() -> None:
    over = [{"iou": 0.5, "predicted_iou": 0.7 + place / 1000} for place in range(11)]
    assert "for its own masks is 0.205 [" in text_of(Findings.of(run_of(objects(*over))))
    assert "too high on average" in text_of(Findings.of(run_of(objects(*over))))
    under = [{"iou": 0.9, "predicted_iou": 0.7 + place / 1000} for place in range(11)]
    assert "too low on average" in text_of(Findings.of(run_of(objects(*under))))


def test_people_are_reported_with_the_difference_of_the_model() -> None:
    pairs = pd.DataFrame(
        {"dataset": "parts", "sample": [f"{place:03d}.png" for place in range(12)], "iou": 0.6, "boundary_f": 0.5}
    ).assign(boundary_iou=0.4)
    text = text_of(Findings.of(run_of(ious(*np.full(12, 0.7))), human=pairs))
    assert "people agree with each other by IoU 0.600" in text
    assert "with a box, a is 0.100 [0.100, 0.100] above that." in text


def test_the_first_model_is_reported_beside_the_others() -> None:
    other = ious(*np.linspace(0.3, 0.5, 12), model="b", version="b-1")
    run = run_of(pd.concat([ious(*np.linspace(0.6, 0.9, 12)), other]), models=("a", "b"))
    assert "a is better than b by" in text_of(Findings.of(run))


def test_nothing_evaluated_is_said() -> None:
    broken = pd.DataFrame([{"model": "a", "dataset": "parts", "sample": "x.png", "reason": "not an image"}])
    text = text_of(Findings.of(run_of(pd.DataFrame(), broken=broken)))
    assert "no object could be evaluated" in text
    assert "1 image could not be used" in text
