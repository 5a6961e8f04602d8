"""Bounds that a model must meet."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from evaluation_rows import clicked, images, ious, objects
from sam_evaluation.ci_gate import GateResult, evaluate_gate, parse_gate
from sam_evaluation.errors import EvaluationError


def measured(text: str, rows: pd.DataFrame, pictures: pd.DataFrame | None = None) -> GateResult:
    (result,) = evaluate_gate(parse_gate(text), rows, pictures)
    return result


def test_conditions_are_read_one_by_one() -> None:
    result = parse_gate("iou.box>=0.7, noc90.clicks <= 8,recall0.75.everything>0.9,boundary_f_2px.click:random>=1")
    assert [(each.metric, each.protocol, str(each.bound)) for each in result] == [
        ("iou", "box", ">= 0.7"),
        ("noc90", "clicks", "<= 8"),
        ("recall0.75", "everything", "> 0.9"),
        ("boundary_f_2px", "click:random", ">= 1"),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ioux.box>=0.7", "There is no metric 'ioux'; the known ones are iou, dice, .* did you mean iou"),
        ("iou.bocks>=0.7", "There is no protocol 'bocks'; the known ones are box, .* did you mean box"),
        ("iou>=0.7", r"metric\.protocol>=number, such as iou\.box>=0\.7; got 'iou>=0\.7'"),
        ("iou.box", "metric.protocol>=number"),
        ("iou.box=0.7", "metric.protocol>=number"),
        ("iou.box>=70%", "takes >=, <=, > or < and a number"),
        ("iou.box>=70", "share from 0 to 1"),
        ("recall0.5.everything>=90", "share from 0 to 1"),
        ("recall0.6.everything>=0.9", "There is no metric 'recall0.6'"),
        ("noc90.box<=8", r"measured by clicks:N; got noc90\.box"),
        ("fp.box<=2", r"measured by everything or text or exemplar; got fp\.box"),
        (" , ", "at least one condition"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_one_sentence(text: str, message: str) -> None:
    with pytest.raises(EvaluationError, match=message) as caught:
        parse_gate(text)
    assert "\n" not in str(caught.value)


def test_a_mean_is_held_against_its_bound() -> None:
    rows = ious(0.6, 0.8)
    result = measured("iou.box>=0.7", rows)
    assert (result.name, result.measured, str(result.bound), result.met) == (
        "iou.box",
        pytest.approx(0.7),
        ">= 0.7",
        True,
    )
    assert not measured("iou.box>0.7", rows).met
    assert not measured("iou.box>=0.71", rows).met


def test_all_data_sets_count_together() -> None:
    assert measured("iou.box>=0.5", pd.concat([ious(0.2, 0.2, 0.2), ious(0.6, dataset="tiles")])).measured == (
        pytest.approx(0.3)
    )


def test_clicks_stand_for_the_one_protocol_of_clicks() -> None:
    rows = pd.concat([ious(0.1), clicked([0.8, 0.9, 0.8], [0.6, 0.7, 0.8], count=3)])
    assert measured("noc90.clicks<=2.5", rows).measured == pytest.approx((2 + 3) / 2)
    assert measured("noc80.clicks:3<=2.5", rows).measured == pytest.approx((1 + 3) / 2)
    assert measured("iou.clicks>=0.8", rows).measured == pytest.approx(0.8)
    with pytest.raises(EvaluationError, match="any of clicks:3, clicks:5"):
        measured("iou.clicks>=0.8", pd.concat([rows, clicked([0.5], count=5)]))


def test_recall_is_of_objects_and_the_rest_of_everything_of_images() -> None:
    rows = ious(0.0, 0.5, 0.6, 0.8, protocol="everything")
    pictures = images(
        {"objects": 3, "proposals": 5, "matched_0.5": 2, "average_recall_100": 0.4, "region_overlap": 0.5},
        {"objects": 1, "proposals": 1, "matched_0.5": 1, "average_recall_100": 0.8, "region_overlap": 0.9},
        {"objects": 0, "proposals": 6},
    )
    assert measured("recall0.5.everything>=0.75", rows).met
    assert measured("recall0.75.everything>=0.2", rows).measured == 0.25
    assert measured("fp.everything<=3", rows, pictures).measured == pytest.approx((3 + 0 + 6) / 3)
    assert measured("precision.everything>=0.2", rows, pictures).measured == pytest.approx(3 / 12)
    assert measured("f1.everything>=0.2", rows, pictures).measured == pytest.approx(6 / 16)
    assert measured("ar100.everything>=0.2", rows, pictures).measured == pytest.approx(0.5)
    assert measured("pro.everything>=0.2", rows, pictures).measured == pytest.approx(0.6)
    with pytest.raises(EvaluationError, match="needs the rows of images"):
        measured("fp.everything<=3", rows)


def test_errors_are_judged_by_their_magnitude() -> None:
    assert measured("area_error.box<=0.1", ious(0.5, 0.5, area_error=-0.4)).measured == pytest.approx(0.4)


def test_calibration_is_after_the_last_click() -> None:
    rows = objects({"predicted_iou": 0.9, "iou": 0.6}, {"predicted_iou": np.nan, "iou": 0.0})
    assert measured("ece.box<=0.1", rows).measured == pytest.approx(0.3)


def test_what_was_not_measured_is_not_met() -> None:
    result = measured("width_error.box<=0.5", ious(0.5, width_error=np.nan))
    assert np.isnan(result.measured)
    assert not result.met


def test_a_protocol_that_was_not_run_is_named_with_those_that_were() -> None:
    for text in ("iou.click>=0.7", "noc90.clicks<=3", "recall0.5.everything>=0.5"):
        with pytest.raises(EvaluationError, match=r"the rows have box\. Evaluate with it"):
            measured(text, ious(0.5))


def test_rows_of_several_models_are_refused() -> None:
    with pytest.raises(EvaluationError, match="one model; got rows of a a-1, b a-1"):
        measured("iou.box>=0.5", pd.concat([ious(0.5), ious(0.5, model="b")]))
