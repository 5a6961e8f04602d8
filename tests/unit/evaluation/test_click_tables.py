"""Tables of protocols with corrections, on curves small enough to work out by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from evaluation_rows import clicked, ious, one
from sam_evaluation.click_tables import clicks_curve, noc, worsened
from sam_evaluation.summary_tables import summary


class TestNoc:
    def test_is_the_first_click_that_reaches_the_iou_and_the_cap_where_none_does(self) -> None:
        # 0.80 after 2, 1 and never; 0.85 after 3, 1, never; 0.90 after never, 1, never.
        table = noc(clicked([0.5, 0.8, 0.85, 0.7], [0.95], [0.1, 0.2, 0.3, 0.4], count=4))
        assert table["iou"].tolist() == [0.8, 0.85, 0.9]
        assert table["value"].tolist() == pytest.approx([(2 + 1 + 4) / 3, (3 + 1 + 4) / 3, (4 + 1 + 4) / 3])
        assert table["never"].tolist() == pytest.approx([1 / 3, 1 / 3, 2 / 3])
        assert table["cap"].tolist() == [4, 4, 4]
        assert table["objects"].tolist() == [3, 3, 3]

    def test_reached_by_the_last_click_is_reached(self) -> None:
        table = one(noc(clicked([0.1, 0.95], count=2)), iou=0.9)
        assert (table["value"], table["never"]) == (2, 0)

    def test_is_of_clicks_alone(self) -> None:
        assert noc(ious(0.9)).empty

    def test_models_stay_apart(self) -> None:
        table = noc(pd.concat([clicked([0.9], count=2), clicked([0.1, 0.9], count=2, model="b")]))
        assert table["model"].tolist() == ["a"] * 3 + ["b"] * 3
        assert one(table, model="b", iou=0.8)["value"] == 2


def test_curve_keeps_the_last_iou_of_an_object_that_ended_early() -> None:
    table = clicks_curve(clicked([0.2, 0.4, 0.6], [0.6, 1.0], count=3))
    assert table["click"].tolist() == [1, 2, 3]
    assert table["value"].tolist() == pytest.approx([0.4, 0.7, 0.8])
    assert table["objects"].tolist() == [2, 2, 2]
    assert table["low"].tolist() == pytest.approx([0.2, 0.4, 0.6])


def test_curve_has_all_clicks_even_where_every_object_ended_early() -> None:
    assert clicks_curve(clicked([1.0], count=3))["value"].tolist() == [1.0, 1.0, 1.0]


def test_who_never_reaches_an_iou_has_an_interval_over_images() -> None:
    table = one(noc(clicked(*[[0.5, 0.95]] * 10, *[[0.5, 0.6]] * 10, count=2)), iou=0.9)
    assert table["never"] == 0.5
    assert 0.2 < table["never_low"] < 0.4 < 0.6 < table["never_high"] < 0.8
    alone = one(noc(clicked([0.1], count=2)), iou=0.9)
    assert (alone["never"], bool(np.isnan(alone["never_low"]))) == (1, True)


def test_a_correction_is_worse_if_the_iou_falls_by_more_than_two_hundredths() -> None:
    # Corrections: +0.2, -0.02, -0.03; -0.5, +0.6; none after the perfect first answer.
    table = one(worsened(clicked([0.5, 0.7, 0.68, 0.65], [0.8, 0.3, 0.9], [1.0], count=4)))
    assert table["value"] == pytest.approx(2 / 5)
    assert (table["objects"], table["images"]) == (5, 2)
    assert worsened(clicked([0.5], count=1)).empty
    assert worsened(ious(0.5)).empty


def test_a_box_before_the_clicks_is_no_click() -> None:
    rows = clicked([0.85, 0.5, 0.9], [0.2, 0.4, 0.8], count=2, box=True)
    table = one(noc(rows), iou=0.8)
    assert (table["value"], table["never"], table["cap"]) == (1, 0, 2)
    assert worsened(rows)["value"].tolist() == [0.25]
    curve = clicks_curve(rows)
    assert curve["click"].tolist() == [0, 1, 2]
    assert curve["value"].tolist() == pytest.approx([0.525, 0.45, 0.85])
    means = summary(rows)
    means = means[(means["by"] == "all") & (means["metric"] == "iou")]
    assert means["click"].tolist() == [0, 2]
    assert means["value"].tolist() == pytest.approx([0.525, 0.85])


def test_a_click_and_a_box_with_corrections_stay_apart() -> None:
    both = pd.concat([clicked([0.9], count=2), clicked([0.1, 0.9], count=2, box=True)])
    assert noc(both)["protocol"].tolist() == ["box+clicks:2"] * 3 + ["clicks:2"] * 3
    assert worsened(both)["protocol"].tolist() == ["box+clicks:2"]
