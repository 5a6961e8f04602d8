"""What the gate lets through."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from evaluation_rows import ious
from sam_backend.samples import Object, Sample
from sam_evaluation.promotion_gate import CORRECTIONS, PromotionGate, judge, measure
from sam_evaluation.requirements import parse_requirements
from threshold_segmenter import ThresholdSegmenter


def rows(gains: dict[str, float], count: int = 40, noise: float = 0.03, **metrics: float) -> pd.DataFrame:
    """Return rows of a model that is better than 0.5 or so by a gain for each protocol."""
    rng, base = np.random.default_rng(1), np.random.default_rng(0).uniform(0.4, 0.6, count)
    version = f"a-{sorted(gains.items())}-{metrics}"
    parts = [
        ious(*(base + gain + (rng.normal(0, noise, count) if gain else 0)), protocol=name, version=version, **metrics)
        for name, gain in gains.items()
    ]
    return pd.concat(parts, ignore_index=True)


SERVING = rows({"box": 0.0, "click": 0.0})


def test_a_clear_gain_by_one_protocol_and_no_loss_by_another_passes() -> None:
    verdict = judge(SERVING, rows({"box": 0.0, "click": 0.1}))
    assert verdict.passed
    assert verdict.reason.startswith("click: iou 0.50")
    assert "box" not in verdict.reason
    before, after = verdict.metrics["click.iou"]
    assert after - before == pytest.approx(0.1, abs=0.02)


def test_a_gain_smaller_than_its_uncertainty_does_not_pass() -> None:
    verdict = judge(SERVING, rows({"box": 0.005, "click": 0.005}, noise=0.1))
    assert not verdict.passed
    assert "not larger than its uncertainty" in verdict.reason


@pytest.mark.parametrize(("gain", "passes"), [(0.002, False), (0.0045, False), (0.006, True)])
def test_a_sure_gain_passes_only_if_it_is_large_enough_to_be_worth_it(gain: float, passes: bool) -> None:
    verdict = judge(SERVING, rows({"box": gain, "click": 0.0}, noise=0.0001))
    assert verdict.passed == passes
    if not passes:
        assert verdict.reason.startswith(
            "No better than what serves: the gain is sure, but smaller than 0.005 mean IoU: "
        )
        assert "click" not in verdict.reason


def test_the_model_itself_does_not_pass() -> None:
    assert not judge(SERVING, SERVING).passed


def test_a_loss_by_one_protocol_outweighs_a_gain_by_another() -> None:
    verdict = judge(SERVING, rows({"box": -0.05, "click": 0.2}))
    assert not verdict.passed
    assert "Not better in all: box: iou" in verdict.reason


def test_a_worse_boundary_outweighs_a_better_iou() -> None:
    verdict = judge(SERVING, rows({"box": 0.1, "click": 0.1}, boundary_f=0.3))
    assert not verdict.passed
    assert "boundary_f 0.500 -> 0.300" in verdict.reason


def test_a_requirement_that_fewer_objects_meet_outweighs_a_gain() -> None:
    # On average better, but the best are worse: fewer reach 0.55.
    even = SERVING.assign(iou=lambda table: np.where(table["iou"] > 0.55, 0.56, 0.30), version="a-2")
    candidate = even.assign(iou=np.where(even["iou"] > 0.5, 0.54, 0.50), version="a-3")
    assert judge(even, candidate).passed
    verdict = judge(even, candidate, parse_requirements('[object]\niou = ">= 0.55"'))
    assert not verdict.passed
    assert "iou >= 0.55 is met by 0.0% of the objects" in verdict.reason


def test_objects_that_are_no_longer_found_outweigh_a_gain() -> None:
    found = [rows({"everything": 0.0}).assign(version=f"a-{which}", iou=iou) for which, iou in ((1, 0.8), (2, 0.4))]
    better = rows({"box": 0.0, "click": 0.1})
    before = pd.concat([SERVING.assign(version="a-1"), found[0]])
    after = pd.concat([better.assign(version="a-2"), found[1]])
    verdict = judge(before, after, parse_requirements('[recall]\nrecall = ">= 0.5"'))
    assert not verdict.passed
    assert "0.0% of the objects are found, 100.0% before" in verdict.reason


def test_few_images_let_nothing_through() -> None:
    verdict = judge(rows({"box": 0.0}, count=9), rows({"box": 0.3}, count=9))
    assert not verdict.passed
    assert "Only 9 images" in verdict.reason


@pytest.fixture
def block() -> Sample:
    mask = np.zeros((40, 40), bool)
    mask[10:30, 10:30] = True
    image = np.where(mask, 200, 50).astype(np.uint8)[..., None].repeat(3, 2)
    return Sample("a.png", image, (Object(mask, "block"),))


def test_held_out_images_are_measured_by_box_click_and_corrected_clicks(block: Sample) -> None:
    found = measure(ThresholdSegmenter(), [block], everything=True)
    assert set(found["protocol"]) == {"box", "click", "clicks:3", "everything"}
    assert found.loc[found["protocol"] == "click", "iou"].tolist() == [1.0]
    assert set(found["version"]) == {"threshold-1"}


def test_where_only_corrections_may_change_corrections_are_measured(block: Sample) -> None:
    names = [f"{number}.png" for number in range(10)]
    verdict = PromotionGate(protocols=CORRECTIONS)(
        ThresholdSegmenter(),
        ThresholdSegmenter(),
        names,
        lambda name: replace(block, name=name),
        lambda done, total, doing="": None,
    )
    assert {name.rpartition(".")[0] for name in verdict.metrics} == {"clicks:5", "box+clicks:4"}


def test_the_gate_measures_both_models_and_says_what_it_does(block: Sample) -> None:
    shown = []
    names = [f"{number}.png" for number in range(12)]
    verdict = PromotionGate()(
        ThresholdSegmenter(),
        ThresholdSegmenter(),
        names,
        lambda name: replace(block, name=name),
        lambda done, total, doing="": shown.append((done, total, doing)),
    )
    assert not verdict.passed
    assert "not larger than its uncertainty" in verdict.reason
    assert verdict.metrics["click.iou"] == [1.0, 1.0]
    assert shown[11:13] == [(12, 12, "Measuring what serves"), (1, 12, "Measuring what was tuned")]
