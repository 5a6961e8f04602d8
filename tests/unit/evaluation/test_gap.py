"""Models against natural images, against people, and against requirements."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from evaluation_rows import clicked, ious, objects
from sam_evaluation.errors import EvaluationError
from sam_evaluation.gap import ALL_INDUSTRIAL, HUMANS, against_humans, against_requirements, gap_table
from sam_evaluation.requirements import parse_requirements


def industrial_and_natural() -> pd.DataFrame:
    return pd.concat(
        [
            ious(0.2, 0.4, dataset="parts", boundary_f=0.1),
            ious(0.6, 0.6, 0.6, 0.6, dataset="tiles", boundary_f=0.2),
            ious(0.8, 1.0, dataset="photos", boundary_f=0.9),
        ]
    )


def where(table: pd.DataFrame, **values: object) -> pd.Series:
    for column, value in values.items():
        table = table[table[column] == value]
    assert len(table) == 1, table
    return table.iloc[0]


def test_gap_is_industrial_minus_natural() -> None:
    table = gap_table(industrial_and_natural(), {"photos", "coco"})
    row = where(table, dataset="parts", metric="iou")
    assert (row["industrial"], row["natural"], row["value"]) == pytest.approx((0.3, 0.9, -0.6))
    assert where(table, dataset="tiles", metric="boundary_f")["value"] == pytest.approx(-0.7)
    assert tuple(row[["industrial_objects", "industrial_images", "natural_objects", "natural_images"]]) == (2,) * 4


def test_data_sets_weigh_the_same_however_large() -> None:
    row = where(gap_table(industrial_and_natural(), {"photos"}), dataset=ALL_INDUSTRIAL, metric="iou")
    assert row["industrial"] == pytest.approx((0.3 + 0.6) / 2)
    assert row["value"] == pytest.approx(0.45 - 0.9)
    assert row["industrial_objects"] == 6


def test_interval_of_the_gap_has_the_spread_of_both_sides() -> None:
    table = gap_table(industrial_and_natural(), {"photos"})
    # Either side of two images spans 0.2 around its mean; only some of 16 draws pair the far ends.
    row = where(table, dataset="parts", metric="iou")
    assert (row["low"], row["high"]) == pytest.approx((-0.8, -0.4))
    constant = where(table, dataset="tiles", metric="iou")
    assert (constant["low"], constant["high"]) == pytest.approx((-0.4, -0.2))
    assert table.equals(gap_table(industrial_and_natural(), {"photos"}))


def test_sides_with_as_many_images_are_drawn_apart() -> None:
    # Drawn alike, two data sets with the same values would have a gap of exactly zero in every draw.
    values = np.random.default_rng(0).random(30)
    row = where(
        gap_table(pd.concat([ious(*values), ious(*values, dataset="photos")]), {"photos"}, metrics=("iou",)),
        dataset="parts",
    )
    assert row["value"] == 0
    assert row["high"] - row["low"] > 0.1


def test_gap_of_clicks_is_after_the_last() -> None:
    rows = pd.concat([clicked([0.2, 0.7], count=2), clicked([0.1, 0.9], count=2, dataset="photos")])
    row = gap_table(rows, {"photos"}, metrics=("iou",))
    assert row["click"].unique().tolist() == [2]
    assert where(row, dataset="parts")["value"] == pytest.approx(-0.2)


def test_protocols_and_models_without_both_sides_have_no_gap() -> None:
    rows = pd.concat([industrial_and_natural(), ious(0.5, protocol="click", click=1), ious(0.5, model="b")])
    table = gap_table(rows, {"photos"})
    assert table["protocol"].unique().tolist() == ["box"]
    assert table["model"].unique().tolist() == ["a"]


@pytest.mark.parametrize(("natural", "missing"), [({"coco"}, "natural"), ({"photos", "parts", "tiles"}, "industrial")])
def test_a_gap_needs_both_sides(natural: set[str], missing: str) -> None:
    with pytest.raises(EvaluationError, match=f"none of parts, photos, tiles is {missing}"):
        gap_table(industrial_and_natural(), natural)


def people(*values: float, samples: tuple[str, ...]) -> pd.DataFrame:
    return pd.DataFrame({"sample": samples, "iou": values, "boundary_f": 0.5, "boundary_iou": 0.5})


def test_people_come_first_and_models_are_measured_against_them() -> None:
    pairs = people(0.8, 0.6, 0.4, samples=("000.png", "000.png", "001.png"))
    table = against_humans(ious(0.5, 0.9), pairs, "parts")
    first = where(table, model=HUMANS, metric="iou")
    assert (first["value"], first["objects"], first["images"]) == pytest.approx((0.6, 3, 2))
    assert np.isnan(first["difference"])
    model = where(table, model="a", metric="iou")
    assert (model["value"], model["difference"]) == pytest.approx((0.7, 0.1))
    # Images drawn for both: the first alone gives 0.5 - 0.7, the second alone 0.9 - 0.4.
    assert (model["difference_low"], model["difference_high"]) == pytest.approx((-0.2, 0.5))
    assert table["metric"].tolist() == ["iou", "boundary_f", "boundary_iou"] * 2


def test_only_images_that_people_share_count() -> None:
    rows = pd.concat([ious(0.5, 0.9), ious(0.1, dataset="tiles")])
    model = where(against_humans(rows, people(0.8, samples=("000.png",)), "parts"), model="a", metric="iou")
    assert (model["value"], model["objects"]) == (0.5, 1)


def test_people_and_models_without_a_common_image_cannot_be_compared() -> None:
    with pytest.raises(EvaluationError, match="No image of parts"):
        against_humans(ious(0.5), people(0.8, samples=("other.png",)), "parts")
    with pytest.raises(EvaluationError, match="lack boundary_iou"):
        against_humans(ious(0.5), people(0.8, samples=("000.png",)).drop(columns="boundary_iou"), "parts")


NEEDED = parse_requirements(
    """
    [object]
    iou = ">= 0.8"
    width_error = "<= 0.1"
    [recall]
    threshold = 0.5
    min_area = 20
    recall = ">= 0.6"
    """
)


def test_shares_of_objects_that_meet_each_condition_and_all() -> None:
    rows = objects(
        {"iou": 0.9, "width_error": -0.05},
        {"iou": 0.9, "width_error": 0.2},
        {"iou": 0.7, "width_error": np.nan},
        {"iou": 0.8, "width_error": np.nan},
    )
    table = against_requirements(rows, NEEDED)
    assert where(table, condition="all")["value"] == 0.5
    assert where(table, condition="iou >= 0.8")["value"] == 0.75
    thin = where(table, condition="width_error <= 0.1")
    assert (thin["value"], thin["objects"]) == (0.5, 2)
    assert not table["met"].any()


def test_a_condition_is_met_when_every_object_meets_it() -> None:
    table = against_requirements(ious(0.8, 0.9, width_error=np.nan), NEEDED)
    assert where(table, condition="all")["met"]
    assert where(table, condition="iou >= 0.8")["met"]
    assert not where(table, condition="width_error <= 0.1")["met"]


def test_recall_counts_objects_that_are_large_enough() -> None:
    rows = objects(
        {"iou": 0.5, "area": 20},
        {"iou": 0.6, "area": 500},
        {"iou": 0.0, "area": 30},
        {"iou": 0.0, "area": 19},
        protocol="everything",
    )
    row = where(against_requirements(rows, NEEDED), condition=str(NEEDED.recall))
    assert (row["value"], row["objects"], row["met"]) == pytest.approx((2 / 3, 3, True))
    strict = parse_requirements('[recall]\nmin_area = 20\nrecall = ">= 0.7"')
    assert not against_requirements(rows, strict)["met"].any()


def test_a_recall_that_was_not_measured_is_not_met() -> None:
    row = where(against_requirements(ious(0.9, 0.9), NEEDED), condition=str(NEEDED.recall))
    assert (row["protocol"], row["objects"], row["met"]) == ("everything", 0, False)
    assert np.isnan(row["value"])
