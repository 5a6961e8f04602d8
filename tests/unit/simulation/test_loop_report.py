"""Means over seeds, and the report that shows them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from sam_evaluation.coco_rle import encode_mask
from sam_evaluation.datasets.dataset import DatasetCard
from sam_evaluation.simulation import summary
from sam_evaluation.simulation.actions import Painting
from sam_evaluation.simulation.annotator import Habits
from sam_evaluation.simulation.journal import (
    ImageLabelled,
    Journal,
    ModelTuned,
    QualityMeasured,
    RecordedAction,
    RefinerTuned,
)
from sam_evaluation.simulation.loop import Conditions, RunSpec
from sam_evaluation.simulation.loop_report import write_report
from sam_evaluation.simulation.loop_statements import lead
from sam_evaluation.simulation.plans import ARMS, Plan, plan_of_strategy
from sam_evaluation.simulation.run_tables import RunTables
from sam_evaluation.simulation.simulation_data import SimulationData
from sam_evaluation.simulation.simulation_result import SimulationResult

ARM_NAMES = ("plain", "+memory")
STRATEGIES = ("gain", "random")


def action(
    fate: str,
    clicks: int,
    iou: float = 0.0,
    score: float | None = None,
    *,
    painted: bool = False,
    relabelled: bool = False,
    reached: tuple[float, ...] = (),
) -> RecordedAction:
    """Two strokes paint each mask that the prompts so far have not brought to an IoU of 0.8."""
    paintings = tuple(
        Painting(after, "bb", (0.5, 0.95), (0.5, 1.0))
        for after in range(len(reached) + 1)
        if fate in ("outlined", "corrected", "redrawn") and max((iou, *reached[:after])) < 0.8
    )
    borders = tuple(0.0 for _ in reached)
    facts = (fate, "pit", clicks, painted, relabelled, iou, 0.0, score, "p" * len(reached), reached, borders)
    return RecordedAction(*facts, paintings, "")


OUTLINED = action("outlined", 5, reached=(0.3, 0.5, 0.65, 0.6, 0.8))
PAINTED = action("outlined", 20, painted=True, reached=(0.2, 0.72))
ACCEPTED = action("accepted", 1, 0.95, 0.9)
CORRECTED = action("corrected", 3, 0.55, 0.6, relabelled=True, reached=(0.7, 0.9))
DELETED = action("deleted", 1, 0.1, 0.2)


@pytest.fixture
def tables(tmp_path: Path, data: SimulationData, conditions: Conditions) -> RunTables:
    """Two seeds, two images each: plain takes 10 and 25 or 10 and 10 clicks, the memory 10 and 5 clicks with both."""
    specs = []

    def write(plan: Plan, seed: int, *events: ImageLabelled | QualityMeasured | ModelTuned) -> None:
        spec = RunSpec(plan, seed, data, conditions, tmp_path / f"{plan.name}-{seed}")
        for event in events:
            Journal(spec.journal).append(event)
        specs.append(spec)

    first = ImageLabelled(1, "a", (1, 1), (OUTLINED, OUTLINED))
    for seed in range(2):
        last = (OUTLINED, PAINTED if seed == 0 else OUTLINED)
        write(Plan(), seed, first, ImageLabelled(2, "b", (1, 1), last))
        second = ImageLabelled(2, "b", (1, 1), (DELETED, ACCEPTED, CORRECTED))
        for strategy, ious in (("random", (0.2, 0.4)), ("gain", (0.4, 0.6))):
            measured = [
                QualityMeasured(at, "v", {"pit": iou, "rust": iou}) for at, iou in zip((1, 2), ious, strict=True)
            ]
            write(plan_of_strategy(strategy), seed, first, measured[0], second, measured[1])
    return RunTables.of(specs)


@pytest.fixture
def simulated(tables: RunTables, conditions: Conditions) -> SimulationResult:
    card = DatasetCard("masks", "Parts <i>of</i> a line", "images/", "none")
    return SimulationResult(tables, ARM_NAMES, STRATEGIES, 2, conditions, card, "masks:parts", "0123", 3, "nano-1")


def test_an_arm_is_compared_with_plain_on_the_same_images_of_the_same_seed(tables: RunTables) -> None:
    plain, memory = summary.totals(tables, ARM_NAMES).to_dict("records")
    assert (plain["clicks"], memory["clicks"]) == (27.5, 15)
    # 15 / 35 and 15 / 20: the mean of ratios of pairs, not the ratio of means.
    assert memory["ratio"] == pytest.approx((15 / 35 + 15 / 20) / 2)
    assert memory["saved"] == pytest.approx(1 - memory["ratio"])
    # Each outlined object costs plain and the memory a label: 4 against 2 in all.
    assert memory["labels_ratio"] == pytest.approx((17 / 39 + 17 / 24) / 2)
    assert memory["per_object"] == 15 / 4
    assert plain["painted"] == pytest.approx(1 / 8)
    assert memory["pixel_iou"] == pytest.approx(0.4)
    assert np.isnan(plain["pixel_iou"])
    assert memory["ratio_low"] == 0


def test_an_annotator_who_accepts_less_stops_clicking_earlier(tables: RunTables) -> None:
    rows = summary.by_accept(tables, ARM_NAMES, 0.9).set_index(["arm", "accept"])
    # At 0.6 an object takes 3 clicks, and 2 the one whose mask was painted after all.
    assert rows.loc[("plain", 0.6), "per_object"] == pytest.approx(((3 + 3 + 3 + 2) / 4 + 3) / 2)
    assert rows.loc[("plain", 0.8), "per_object"] == pytest.approx(((5 + 5 + 5 + 20) / 4 + 5) / 2)
    assert rows.loc[("+memory", 0.6), "ratio"] == pytest.approx(((6 + 1 + 1 + 2) / 11 + 10 / 12) / 2)
    # At the required IoU, the counts are those of the totals.
    totals = summary.totals(tables, ARM_NAMES).set_index("arm")
    for arm in ARM_NAMES:
        for name in ("per_object", "ratio"):
            assert rows.loc[(arm, 0.9), name] == totals.loc[arm, name]
    assert rows.index.get_level_values("accept").max() == 0.9


@pytest.mark.parametrize(
    ("done", "clicks"),
    [
        (action("accepted", 2, 0.92, 0.5, relabelled=True), 2),
        (action("corrected", 13, 0.75, 0.5, relabelled=True, painted=True), 2),
        (action("corrected", 13, 0.6, 0.5, relabelled=True, painted=True, reached=(0.65, 0.7)), 3),
        (action("corrected", 13, 0.6, 0.5, relabelled=True, painted=True, reached=(0.65, 0.68)), 13),
        (action("deleted", 1, 0.75, 0.5), 1),
        (action("redrawn", 5, 0.75, 0.5), 1),
        (action("redrawn", 5, 0.6, 0.5, relabelled=True, reached=(0.5, 0.71, 0.9, 0.9)), 3),
        (action("redrawn", 25, 0.6, 0.5, painted=True, reached=(0.5,)), 25),
    ],
    ids=["accepted", "fair enough", "corrected", "never", "deleted", "good enough", "redrawn", "redrawn and painted"],
)
def test_clicks_of_an_action_for_an_annotator_who_accepts_less(done: RecordedAction, clicks: int) -> None:
    assert summary.clicks_until(done, 0.7) == clicks


def test_without_plain_there_is_no_ratio(tables: RunTables) -> None:
    alone = RunTables(
        tables.images[tables.images["plan"] != "plain-random"], tables.actions, tables.quality, tables.tunings
    )
    (memory,) = summary.totals(alone, ["+memory"]).to_dict("records")
    assert memory["clicks"] == 15
    assert np.isnan(memory["ratio"])


def test_an_interval_over_seeds_is_students() -> None:
    mean, low, high = summary.over_seeds([[1.0, 5.0], [2.0, 5.0], [3.0, 5.0]])
    assert mean.tolist() == [2, 5]
    assert (high - mean).tolist() == pytest.approx([4.3027 / np.sqrt(3), 0], abs=1e-4)
    assert (mean - low).tolist() == pytest.approx((high - mean).tolist())
    assert np.isnan(summary.over_seeds([[1.0]])[1]).all()


def test_clicks_add_up_over_images(tables: RunTables) -> None:
    curve = summary.clicks_curve(tables, ARM_NAMES).set_index(["arm", "images"])["value"]
    assert curve["+memory"].tolist() == [10, 15]
    assert curve["plain"].tolist() == [10, 27.5]


def test_images_needed_for_the_final_iou_of_random_are_read_from_each_curve(tables: RunTables) -> None:
    gain, random = summary.strategies_table(tables, STRATEGIES).to_dict("records")
    assert (gain["needed"], random["needed"]) == (1, 2)
    assert (gain["end"], random["end"]) == pytest.approx((0.6, 0.4))
    assert np.isnan(summary.first_reached([1, 2], [0.1, 0.2], 0.3))
    assert summary.first_reached([1, 2, 3], [0.5, 0.4, 0.6], 0.3) == 1


def test_proposals_are_counted_by_their_fate(tables: RunTables) -> None:
    (row,) = summary.fates(tables, ARM_NAMES).to_dict("records")
    thirds = [row[name] for name in ("accepted", "corrected", "deleted")]
    assert thirds == pytest.approx([1 / 3] * 3)
    assert (row["proposals"], row["missed"], row["relabelled"]) == (1.5, 0.5, 0.5)
    by_score = summary.fates_by_score(tables, "+memory").set_index("score")
    assert by_score.loc[0.1, "deleted"] == by_score.loc[0.9, "accepted"] == by_score.loc[0.5, "corrected"] == 1
    assert by_score["proposals"].tolist() == [2, 0, 2, 0, 2]


def test_an_object_without_a_proposal_is_missed(tmp_path: Path, data: SimulationData, conditions: Conditions) -> None:
    spec = RunSpec(ARMS["+memory"], 0, data, conditions, tmp_path)
    Journal(spec.journal).append(ImageLabelled(1, "a", (1, 1), (action("redrawn", 5, 0.7, 0.6), OUTLINED)))
    tables = RunTables.of([spec])
    (row,) = tables.images.to_dict("records")
    assert (row["objects"], row["outlined"], row["missed"], row["redrawn"], row["clicks"]) == (2, 1, 1, 1, 10)
    # What was redrawn was deleted before.
    assert summary.fates(tables, ["+memory"])["deleted"].tolist() == [1]
    assert summary.fates_by_score(tables, "+memory").set_index("score").loc[0.5, "deleted"] == 1


def test_recall_of_proposals_is_told_by_the_size_of_what_was_accepted(
    tmp_path: Path, data: SimulationData, conditions: Conditions
) -> None:
    def of_pixels(count: int, made: RecordedAction) -> RecordedAction:
        mask = np.zeros((100, 200), bool)
        mask.flat[:count] = True
        return replace(made, rle=encode_mask(mask))

    actions = (of_pixels(99, OUTLINED), of_pixels(50, ACCEPTED), of_pixels(10_000, CORRECTED), DELETED)
    specs = [RunSpec(ARMS["+memory"], seed, data, conditions, tmp_path / str(seed)) for seed in range(2)]
    for spec in specs:
        Journal(spec.journal).append(ImageLabelled(1, "a", (100, 200), actions[spec.seed :]))
    found = summary.found_by_size(RunTables.of(specs), ["+memory"]).set_index("size")
    # The first seed finds one of two small objects, the second its only one.
    assert found.loc["under 10² px", ["objects", "found"]].tolist() == [3, 0.75]
    assert found.loc["96² px and over", ["objects", "found"]].tolist() == [2, 1]


def test_an_uncertain_difference_is_not_stated_as_one(simulated: SimulationResult) -> None:
    totals = summary.totals(simulated.tables, ARM_NAMES)
    strategies = summary.strategies_table(simulated.tables, STRATEGIES)
    unsure = " ".join(lead(simulated, totals, strategies))
    assert "A difference from plain is not shown." in unsure
    assert "gain reaches the final IoU of random after 1 [1, 1] images; random itself after 2 [2, 2] images" in unsure
    sure = " ".join(lead(simulated, totals.assign(ratio_low=0.4, ratio_high=0.8), strategies))
    assert "+memory took 15 [15, 15], 41\N{NO-BREAK SPACE}% fewer" in sure
    assert "not shown" not in sure
    never = " ".join(lead(simulated, totals, strategies.assign(needed=[np.nan, 2.0])))
    assert "Not with every seed does gain reach the final IoU of random." in never
    worse = " ".join(lead(simulated, totals.assign(saved=-0.2, ratio=1.2), strategies))
    assert "20\N{NO-BREAK SPACE}% more" in worse


def test_the_report_holds_figures_tables_and_how_clicks_are_counted(
    simulated: SimulationResult, tmp_path: Path
) -> None:
    content = write_report(simulated, tmp_path)
    page = (tmp_path / "report.html").read_text()
    assert page.count("data:image/png;base64") == 3
    assert "Parts &lt;i&gt;of&lt;/i&gt; a line" in page
    assert "<i>of</i>" not in page
    for words in (
        "How clicks are counted",
        "Actions in Label Studio",
        "What the actions are",
        "one click, then painting",
        "quick, with Keep label selected after creating a region and Auto-Accept Suggestions",
        "What became of the proposals",
        "What to label next",
        "Read with care",
        "0.589",
        "IoU 0.75",
    ):
        assert words in page
    with Image.open(tmp_path / "figures" / "clicks.png") as picture:
        assert min(picture.size) > 600
    assert json.loads((tmp_path / "summary.json").read_text()) == content
    assert content["arms"][0]["pixel_iou"] is None
    assert pd.read_csv(tmp_path / "images.csv")["clicks"].sum() == 55 + 2 * 30
    actions = pd.read_csv(tmp_path / "actions.csv")
    assert len(actions) == 8 + 2 * 10
    assert actions["reached"][0] == "0.3 0.5 0.65 0.6 0.8"
    assert actions["tools"][0] == "ppppp"
    assert actions["paintings"][0] == "0:bb 1:bb 2:bb 3:bb 4:bb"
    assert {(row["page"], row["level"]) for row in content["actions"]} == {
        (page, level) for page in ("default", "quick") for level in ("0.8", "0.8 or border")
    }
    # The strategy gain alone is no arm.
    assert actions[["actions_default", "actions_quick"]].notna().sum().tolist() == [18, 18]


def test_tuning_is_reported_with_the_iou_of_the_model_that_served_then(
    simulated: SimulationResult, tmp_path: Path, data: SimulationData, conditions: Conditions
) -> None:
    spec = RunSpec(ARMS["+finetune"], 0, data, conditions, tmp_path / "tuned")
    for event in (
        ImageLabelled(1, "a", (1, 1), (OUTLINED,)),
        QualityMeasured(1, "v1", {"pit": 0.2}, 0.51, 0.41),
        ImageLabelled(2, "b", (1, 1), (OUTLINED,)),
        ModelTuned(2, "nano-0001", True, "better"),
        RefinerTuned(2, "", False, "no better"),
        QualityMeasured(2, "v2", {"pit": 0.3}, 0.62, 0.52),
    ):
        Journal(spec.journal).append(event)
    run = SimulationResult(
        **{**vars(simulated), "tables": RunTables.of([spec]), "arms": ["+finetune"], "strategies": []}
    )
    write_report(run, tmp_path / "report")
    page = (tmp_path / "report" / "report.html").read_text()
    assert "+finetune, after 2" in page
    assert "1 of 1" in page
    assert "+finetune, refiner after 2" in page
    assert "0 of 1" in page
    assert all(number in page for number in ("0.510", "0.410", "0.620", "0.520"))
    assert (tmp_path / "report" / "figures" / "tuning.png").exists()


def test_many_painted_masks_are_a_caution(simulated: SimulationResult, tmp_path: Path) -> None:
    write_report(simulated, tmp_path / "few")
    assert "painted by hand in the end" not in (tmp_path / "few" / "report.html").read_text()
    painted = simulated.tables.images.assign(painted=simulated.tables.images["objects"])
    tables = RunTables(painted, simulated.tables.actions, simulated.tables.quality, simulated.tables.tunings)
    write_report(replace(simulated, tables=tables), tmp_path / "many")
    page = (tmp_path / "many" / "report.html").read_text()
    assert "of all masks were painted by hand in the end, at 10 clicks each" in page
    assert Habits().painting == 10
