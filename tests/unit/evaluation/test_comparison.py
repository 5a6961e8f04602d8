"""Two models on the same objects."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from evaluation_rows import clicked, ious, objects
from sam_evaluation.comparison import _rounded, compare
from sam_evaluation.errors import EvaluationError
from sam_evaluation.statistics import holm


def pair(gain: float, count: int = 40, **same: object) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return rows of "a" and of "b", which is better by about `gain`."""
    rng = np.random.default_rng(0)
    base = rng.uniform(0.3, 0.6, count)
    return ious(*base, **same), ious(*(base + gain + rng.normal(0, 0.02, count)), model="b", version="b-1", **same)


def test_numbers_of_a_pairing_worked_by_hand() -> None:
    a = ious(0.5, 0.5, 0.5, 0.5)
    b = ious(0.6, 0.7, 0.5, 0.4, model="b")
    (comparison,) = compare(a, b).pairings
    assert (comparison.mean_a, comparison.mean_b, comparison.difference) == pytest.approx((0.5, 0.55, 0.05))
    assert (comparison.wins, comparison.losses, comparison.ties) == (2, 1, 1)
    # Differences 0.1, 0.2, 0, -0.1: deviations 0.05, 0.15, -0.05, -0.15 from their mean.
    assert comparison.effect_size == pytest.approx(0.05 / np.sqrt(0.05 / 3))
    assert (comparison.objects, comparison.images, comparison.only_a, comparison.only_b) == (4, 4, 0, 0)
    assert comparison.low == pytest.approx(-0.05, abs=0.03)
    assert comparison.high == pytest.approx(0.15, abs=0.03)


def test_a_clear_gain_is_said_with_its_interval_and_what_it_is_from() -> None:
    comparison = compare(*pair(0.1))
    (pairing,) = comparison.pairings
    assert pairing.low < 0.1 < pairing.high
    assert pairing.verdict.startswith("b is better than a by 0.11 IoU (0.10 to 0.11) on")
    assert pairing.verdict.endswith(" on 40 objects of 40 images with protocol box.")
    assert compare(*pair(0.1)) == comparison


def test_a_clear_loss_is_said_with_positive_numbers() -> None:
    assert compare(*pair(-0.1)).pairings[0].verdict.startswith("b is worse than a by 0.09 IoU (0.09 to 0.10) on")


def test_no_gain_is_not_said_to_be_equal() -> None:
    (pairing,) = compare(*pair(0.0)).pairings
    assert pairing.verdict.startswith("No difference could be shown between b and a: ")
    assert "signed-rank p = " in pairing.verdict


def test_a_model_against_itself_shows_no_difference() -> None:
    rows = pair(0.0)[0]
    comparison = compare(rows, rows)
    assert (comparison.a, comparison.b) == ("A (a)", "B (a)")
    (pairing,) = comparison.pairings
    assert (pairing.difference, pairing.p, pairing.ties, pairing.effect_size) == (0, 1, 40, 0)
    assert pairing.verdict.startswith("No difference could be shown")


def test_few_images_show_nothing_however_clear_they_are() -> None:
    (pairing,) = compare(*pair(0.3, count=9)).pairings
    assert pairing.low > 0
    assert pairing.verdict == (
        "Too few images to tell b from a by IoU on 9 objects of 9 images with protocol box: at least 10 are needed."
    )


def test_many_objects_of_few_images_are_few_images() -> None:
    rows = [{"sample": f"{index % 4}.png", "object": index, "iou": 0.5} for index in range(40)]
    better = [{**row, "iou": 0.6} for row in rows]
    (pairing,) = compare(objects(*rows), objects(*better, model="b")).pairings
    assert (pairing.objects, pairing.images) == (40, 4)
    assert pairing.verdict.startswith("Too few images")
    # Four images with one sign: p cannot be below 2 / 2^4, as it would be for forty independent objects.
    assert pairing.p == pytest.approx(2 / 16)


def test_numbers_of_a_verdict_have_the_decimals_that_their_interval_deserves() -> None:
    assert _rounded([0.0312, 0.0104, 0.0521]) == ["0.03", "0.01", "0.05"]
    assert _rounded([0.0201, 0.0004, 0.0398]) == ["0.0201", "0.0004", "0.0398"]
    assert _rounded([123.4, 101.0, 145.8]) == ["123", "101", "146"]
    assert _rounded([0.0, 0.0, 0.0]) == ["0", "0", "0"]


def test_interval_and_test_must_agree_on_the_sign() -> None:
    # The mean gains by few large wins, the ranks lose by many small losses.
    losses = np.linspace(0.010, 0.012, 88)
    b = ious(*(0.5 - losses), *[0.95] * 12, model="b")
    (pairing,) = compare(ious(*[0.5] * 100), b).pairings
    assert pairing.low > 0
    assert pairing.p < 0.05
    assert pairing.verdict.startswith("No difference could be shown")


def test_an_interval_alone_shows_nothing() -> None:
    # 14 large wins make the mean, 26 small losses nearly make up for them in ranks.
    b = ious(*(0.5 - np.linspace(0.01, 0.02, 26)), *(0.5 + np.linspace(0.3, 0.4, 14)), model="b")
    (pairing,) = compare(ious(*[0.5] * 40), b).pairings
    assert pairing.low > 0
    assert pairing.p > 0.05
    assert pairing.verdict.startswith("No difference could be shown")


def test_a_test_alone_shows_nothing() -> None:
    # 95 small wins rule the ranks, 5 large losses may as well make the mean negative.
    b = ious(*(0.5 + np.linspace(0.02, 0.03, 95)), *[0.1] * 5, model="b")
    (pairing,) = compare(ious(*[0.5] * 100), b).pairings
    assert pairing.difference > 0 > pairing.low
    assert pairing.p < 0.05
    assert pairing.verdict.startswith("No difference could be shown")


def test_images_of_one_name_in_two_data_sets_are_two_images() -> None:
    a, b = (
        pd.concat([ious(value, model=model), ious(value, model=model, dataset="tiles")])
        for model, value in (("a", 0.5), ("b", 0.6))
    )
    assert compare(a, b).pairings[0].images == 2


def test_distances_are_better_when_smaller() -> None:
    a, b = pair(0.0)
    a["hd95"], b["hd95"] = 10.0, np.linspace(5, 7, 40)
    (pairing,) = compare(a, b, "hd95").pairings
    assert pairing.difference == pytest.approx(-4)
    assert (pairing.wins, pairing.losses) == (40, 0)
    assert pairing.verdict.startswith("b is better than a by 4.0 px HD95 (3.8 to 4.2)")


def test_signed_errors_are_compared_by_their_magnitude() -> None:
    a, b = ious(0.5, 0.5, area_error=-0.3), ious(0.5, 0.5, model="b", area_error=0.1)
    (pairing,) = compare(a, b, "area_error").pairings
    assert pairing.difference == pytest.approx(-0.2)
    assert pairing.wins == 2


def test_objects_that_only_one_has_are_counted_and_left_out() -> None:
    a = ious(0.5, 0.5, 0.5)
    b = ious(0.7, 0.9, model="b")
    other = ious(0.1, model="b", dataset="tiles")
    (pairing,) = compare(a, pd.concat([b, other])).pairings
    assert (pairing.objects, pairing.only_a, pairing.only_b) == (2, 1, 1)
    assert (pairing.mean_a, pairing.mean_b) == pytest.approx((0.5, 0.8))


def test_objects_are_paired_by_name_and_not_by_order() -> None:
    a, b = ious(0.1, 0.9), ious(0.1, 0.9, model="b")
    (pairing,) = compare(a, b.iloc[::-1]).pairings
    assert pairing.ties == 2


def test_clicks_are_compared_after_the_last_however_early_one_ended() -> None:
    a = clicked([0.2, 0.4, 0.6], [0.5, 0.5, 0.5], count=3)
    b = clicked([0.3, 1.0], [0.4, 0.5, 0.7], count=3, model="b")
    (pairing,) = compare(a, b).pairings
    assert (pairing.objects, pairing.only_a, pairing.only_b) == (2, 0, 0)
    assert pairing.difference == pytest.approx((0.4 + 0.2) / 2)


def test_p_is_corrected_for_the_number_of_protocols() -> None:
    box, click = pair(0.01), pair(0.1, protocol="click", click=1)
    comparison = compare(pd.concat([box[0], click[0]]), pd.concat([box[1], click[1]]))
    assert [pairing.protocol for pairing in comparison.pairings] == ["box", "click"]
    assert [pairing.p_holm for pairing in comparison.pairings] == pytest.approx(
        holm([each.p for each in comparison.pairings])
    )
    assert comparison.pairings[1].p_holm == pytest.approx(2 * comparison.pairings[1].p)
    assert comparison.table()["verdict"].tolist() == [pairing.verdict for pairing in comparison.pairings]


def test_protocols_of_one_side_are_named() -> None:
    a, b = pair(0.1)
    comparison = compare(pd.concat([a, ious(0.5, protocol="click", click=1)]), b)
    assert comparison.unpaired_protocols == ("click",)
    assert len(comparison.pairings) == 1


def test_versions_show_two_of_one_model_apart() -> None:
    comparison = compare(ious(0.5), ious(0.5, version="a-2"))
    assert (comparison.a, comparison.b) == ("a a-1", "a a-2")


@pytest.mark.parametrize(
    ("a", "b", "metric", "message"),
    [
        (pd.concat([ious(0.5), ious(0.5, model="c")]), ious(0.5, model="b"), "iou", "A has a a-1, c a-1"),
        (ious(0.5), pd.DataFrame(), "iou", "B has none"),
        (ious(0.5), ious(0.5, model="b", dataset="tiles"), "iou", "no object and protocol in common"),
        (
            ious(0.5),
            ious(0.5, model="b", area=51),
            "iou",
            "000.png in parts covers 50 px in one and 51 px in the other",
        ),
        (ious(0.5), ious(0.5, model="b"), "ioux", "did you mean iou"),
        (ious(0.5), ious(0.5, model="b", width_error=np.nan), "width_error", "No object .* measured by width_error"),
    ],
)
def test_what_cannot_be_compared_is_said(a: pd.DataFrame, b: pd.DataFrame, metric: str, message: str) -> None:
    with pytest.raises(EvaluationError, match=message):
        compare(a, b, metric)
