"""Rows -> tables, on frames small enough to work out by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from evaluation_rows import clicked, images, ious, objects, one
from sam_evaluation.errors import EvaluationError
from sam_evaluation.summary_tables import SIZES, calibration, detection, summary


def overall(table: pd.DataFrame, metric: str, **where: object) -> pd.Series:
    return one(table, by="all", metric=metric, **where)


class TestSummary:
    def test_means_of_all_objects(self) -> None:
        rows = objects({"iou": 0.4, "hd95": 2.0, "iou_oracle": 0.6}, {"iou": 0.9, "hd95": 5.0, "iou_oracle": 0.9})
        table = summary(rows)
        assert overall(table, "iou")["value"] == pytest.approx(0.65)
        assert overall(table, "hd95")["value"] == pytest.approx(3.5)
        assert overall(table, "iou_oracle")["value"] == pytest.approx(0.75)
        assert overall(table, "ambiguity_cost")["value"] == pytest.approx(0.1)
        assert tuple(overall(table, "iou")[["objects", "images", "low", "high"]]) == pytest.approx((2, 2, 0.4, 0.9))

    def test_has_every_metric_once_a_group(self) -> None:
        table = summary(ious(0.4, 0.9))
        assert table[table["by"] == "all"]["metric"].tolist() == [
            *("iou", "dice", "boundary_f", "boundary_f_1px", "boundary_f_2px", "boundary_f_3px", "boundary_f_5px"),
            *("boundary_iou", "hd95", "assd", "iou_oracle", "ambiguity_cost"),
            *("iou_at_least_0.5", "iou_at_least_0.75", "iou_at_least_0.9"),
        ]

    def test_shares_count_an_object_that_just_reaches_the_iou(self) -> None:
        table = summary(ious(0.5, 0.75, 0.9, 0.49))
        assert overall(table, "iou_at_least_0.5")["value"] == 0.75
        assert overall(table, "iou_at_least_0.75")["value"] == 0.5
        assert overall(table, "iou_at_least_0.9")["value"] == 0.25

    def test_objects_of_one_image_are_one_image(self) -> None:
        rows = objects({"sample": "x", "object": 0}, {"sample": "x", "object": 1}, {"sample": "y"})
        table = overall(summary(rows), "iou")
        assert (table["objects"], table["images"]) == (3, 2)

    def test_models_versions_data_sets_and_protocols_stay_apart(self) -> None:
        parts = [
            ious(0.1),
            ious(0.2, model="b"),
            ious(0.3, version="a-2"),
            ious(0.4, dataset="tiles"),
            ious(0.6, protocol="click", click=1),
        ]
        table = summary(pd.concat(parts))
        outcome = table[(table["by"] == "all") & (table["metric"] == "iou")]
        assert sorted(outcome["value"]) == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.6])

    def test_groups_by_label(self) -> None:
        rows = objects({"iou": 0.2, "label": "dent"}, {"iou": 0.4, "label": "dent"}, {"iou": 0.9, "label": "crack"})
        table = summary(rows)
        assert one(table, by="label", group="dent", metric="iou")["value"] == pytest.approx(0.3)
        assert one(table, by="label", group="crack", metric="iou")["value"] == pytest.approx(0.9)

    def test_groups_by_size_with_the_lower_end_in_the_bin(self) -> None:
        areas = [99, 100, 1023, 1024, 9215, 9216]
        table = summary(objects(*({"area": area, "iou": index / 10} for index, area in enumerate(areas))))
        outcome = table[(table["by"] == "size") & (table["metric"] == "iou")]
        assert outcome["group"].tolist() == list(SIZES)
        assert outcome["value"].tolist() == pytest.approx([0.0, 0.15, 0.35, 0.5])

    def test_groups_by_quartiles_of_the_data_sets_own_objects(self) -> None:
        few = objects(*({"area": area, "iou": area / 100} for area in (10, 20, 30, 40)))
        again = objects(*({"area": 10, "protocol": "click", "click": 1} for _ in range(1)))
        other = objects({"area": 5000, "dataset": "tiles"})
        table = summary(pd.concat([few, again, other]))
        outcome = table[
            (table["by"] == "size quartile")
            & (table["metric"] == "iou")
            & (table["protocol"] == "box")
            & (table["dataset"] == "parts")
        ]
        # The quartiles of 10, 20, 30, 40 are 17.5, 25 and 32.5.
        assert dict(zip(outcome["group"], outcome["value"], strict=True)) == pytest.approx(
            {"Q1 (up to 17 px)": 0.1, "Q2 (18 to 25 px)": 0.2, "Q3 (26 to 32 px)": 0.3, "Q4 (over 32 px)": 0.4}
        )

    def test_an_object_as_large_as_a_quartile_is_in_the_lower_group(self) -> None:
        table = summary(objects(*({"area": area} for area in (10, 20, 30, 40, 50))))
        outcome = table[(table["by"] == "size quartile") & (table["metric"] == "iou")]
        assert outcome["objects"].tolist() == [2, 1, 1, 1]
        assert outcome["group"].tolist()[0] == "Q1 (up to 20 px)"

    def test_groups_by_any_other_column(self) -> None:
        rows = objects({"iou": 0.2, "annotator": 0}, {"iou": 0.4, "annotator": 1})
        assert one(summary(rows, by=("annotator",)), by="annotator", group="1", metric="iou")["value"] == 0.4
        with pytest.raises(EvaluationError, match="did you mean annotator"):
            summary(rows, by=("anotator",))

    def test_clicks_have_their_first_and_their_last(self) -> None:
        table = summary(clicked([0.2, 0.4, 0.6], [0.6, 1.0], count=3))
        assert overall(table, "iou", click=1)["value"] == pytest.approx(0.4)
        last = overall(table, "iou", click=3)
        assert (last["value"], last["objects"]) == pytest.approx((0.8, 2))
        assert set(table["click"]) == {1, 3}

    def test_one_click_is_not_there_twice(self) -> None:
        table = overall(summary(clicked([0.2], count=1)), "iou")
        assert (table["click"], table["objects"]) == (1, 1)

    def test_other_protocols_keep_their_click(self) -> None:
        table = summary(pd.concat([ious(0.2), ious(0.2, protocol="click", click=1)]))
        assert overall(table, "iou", protocol="box")["click"] == 0
        assert overall(table, "iou", protocol="click")["click"] == 1

    def test_columns_that_no_row_has_a_value_in_may_be_absent(self) -> None:
        rows = ious(0.2, 0.4).drop(columns=["length_error", "width_error", "predicted_iou"])
        assert overall(summary(rows), "iou")["value"] == pytest.approx(0.3)

    def test_nothing_gives_an_empty_table_with_all_columns(self) -> None:
        assert list(summary(pd.DataFrame()).columns) == list(summary(ious(0.5)).columns)

    def test_missing_columns_are_named(self) -> None:
        with pytest.raises(EvaluationError, match=r"lack sample, label; expected .* objects\.parquet"):
            summary(ious(0.5).drop(columns=["sample", "label"]))

    def test_a_run_put_in_twice_is_no_run_of_twice_the_objects(self) -> None:
        with pytest.raises(EvaluationError, match="1 rows are there twice"):
            summary(pd.concat([ious(0.5), ious(0.5)]))

    def test_same_seed_same_table(self) -> None:
        rows = ious(*np.random.default_rng(0).random(20))
        pd.testing.assert_frame_equal(summary(rows, seed=1), summary(rows, seed=1))
        assert not summary(rows, seed=1).equals(summary(rows, seed=2))


class TestDetection:
    def test_recall_is_the_share_of_objects_found_at_each_iou(self) -> None:
        rows = ious(0.0, 0.1, 0.5, 0.75, protocol="everything")
        table = detection(rows, images())
        assert overall(table, "recall_0.1")["value"] == 0.75
        assert overall(table, "recall_0.5")["value"] == 0.5
        assert overall(table, "recall_0.75")["value"] == 0.25

    def test_recall_by_label_and_by_size(self) -> None:
        rows = objects(
            {"iou": 0.6, "label": "dent", "area": 10},
            {"iou": 0.0, "label": "dent", "area": 2000},
            {"iou": 0.7, "label": "crack", "area": 20},
            protocol="everything",
        )
        table = detection(rows, images())
        assert one(table, by="label", group="dent", metric="recall_0.5")["value"] == 0.5
        assert one(table, by="label", group="crack", metric="recall_0.5")["value"] == 1
        assert one(table, by="size", group=SIZES[0], metric="recall_0.5")["value"] == 1
        assert one(table, by="size", group=SIZES[2], metric="recall_0.5")["value"] == 0

    def test_other_protocols_do_not_count(self) -> None:
        rows = pd.concat([ious(0.0, protocol="everything"), ious(0.9, 0.9)])
        assert overall(detection(rows, images()), "recall_0.5")["objects"] == 1

    def test_precision_f1_and_false_positives(self) -> None:
        pictures = images(
            {"objects": 3, "proposals": 4, "matched_0.5": 2},
            {"objects": 1, "proposals": 1, "matched_0.5": 1},
            {"objects": 0, "proposals": 5},
            {"objects": 0, "proposals": 0},
        )
        table = detection(pd.DataFrame(), pictures)
        # 10 proposals, 3 of them pairs, 4 objects.
        assert overall(table, "precision_0.5")["value"] == pytest.approx(3 / 10)
        assert overall(table, "f1_0.5")["value"] == pytest.approx(2 * 3 / (10 + 4))
        assert overall(table, "false_positives_0.5")["value"] == pytest.approx((2 + 0 + 5 + 0) / 4)
        clean = overall(table, "false_positives_without_objects")
        assert (clean["value"], clean["objects"], clean["images"]) == (2.5, 0, 2)
        assert tuple(overall(table, "false_positives_0.5")[["objects", "images"]]) == (4, 4)

    def test_average_recall_and_region_overlap_weigh_images_by_their_objects(self) -> None:
        pictures = images(
            {"objects": 3, "average_recall_10": 0.2, "average_recall_100": 0.4, "region_overlap": 1.0},
            {"objects": 1, "average_recall_10": 0.6, "average_recall_100": 0.8, "region_overlap": 0.2},
            {"objects": 0, "proposals": 5},
        )
        table = detection(pd.DataFrame(), pictures)
        assert overall(table, "average_recall_10")["value"] == pytest.approx((3 * 0.2 + 0.6) / 4)
        assert overall(table, "average_recall_100")["value"] == pytest.approx((3 * 0.4 + 0.8) / 4)
        assert np.isnan(overall(table, "average_recall_1000")["value"])
        covered = overall(table, "region_overlap")
        assert (covered["value"], covered["objects"], covered["images"]) == pytest.approx((0.8, 4, 2))

    def test_without_proposals_there_is_no_precision_and_no_false_positive(self) -> None:
        table = detection(ious(0.0, protocol="everything"), images({"objects": 1}))
        assert np.isnan(overall(table, "precision_0.5")["value"])
        assert overall(table, "f1_0.5")["value"] == 0
        assert overall(table, "false_positives_0.5")["value"] == 0

    def test_all_comes_first(self) -> None:
        table = detection(ious(0.6, protocol="everything"), images({"objects": 1}))
        assert table["by"].drop_duplicates().tolist() == ["all", "label", "size"]

    def test_nothing_gives_an_empty_table(self) -> None:
        assert detection(pd.DataFrame(), pd.DataFrame()).empty


class TestCalibration:
    def test_is_the_error_weighted_by_what_each_bin_holds(self) -> None:
        rows = objects(
            {"predicted_iou": 0.95, "iou": 0.8},
            {"predicted_iou": 0.95, "iou": 0.6},
            {"predicted_iou": 0.55, "iou": 0.5},
        )
        table = calibration(rows)
        assert table.errors["ece"].tolist() == pytest.approx([(2 * 0.25 + 0.05) / 3])
        assert table.errors["objects"].tolist() == [3]
        curve = table.reliability
        assert curve["bin_low"].tolist() == pytest.approx([0.5, 0.9])
        assert curve["bin_high"].tolist() == pytest.approx([0.6, 1.0])
        assert curve["predicted"].tolist() == pytest.approx([0.55, 0.95])
        assert curve["true"].tolist() == pytest.approx([0.5, 0.7])
        assert curve["objects"].tolist() == [1, 2]

    def test_overrating_and_the_curve_have_intervals_over_images(self) -> None:
        rows = objects({"predicted_iou": 0.75, "iou": 0.45}, {"predicted_iou": 0.75, "iou": 0.65})
        table = calibration(rows)
        assert table.errors[["value", "low", "high"]].iloc[0].tolist() == pytest.approx([0.2, 0.1, 0.3])
        assert table.reliability[["true", "low", "high"]].iloc[0].tolist() == pytest.approx([0.55, 0.45, 0.65])

    def test_objects_without_a_prediction_are_left_out(self) -> None:
        rows = objects({"predicted_iou": 0.9, "iou": 0.9}, {"predicted_iou": np.nan, "iou": 0.0}, protocol="everything")
        assert calibration(rows).errors[["ece", "objects"]].iloc[0].tolist() == pytest.approx([0, 1])

    def test_is_of_the_last_click(self) -> None:
        table = calibration(clicked([0.2, 0.9], count=2)).errors
        assert table[["click", "objects"]].to_numpy().tolist() == [[2, 1]]
