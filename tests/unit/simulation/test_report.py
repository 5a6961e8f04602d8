"""Means over seeds, and the page that tells them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from sam_evaluation.datasets.dataset import DatasetCard
from sam_evaluation.simulation import summary
from sam_evaluation.simulation.annotator import Habits
from sam_evaluation.simulation.data import Data
from sam_evaluation.simulation.journal import Done, Journal, Labelled, Measured, Tuned
from sam_evaluation.simulation.loop import Conditions, Task
from sam_evaluation.simulation.plans import ARMS, Plan, plan_of_strategy
from sam_evaluation.simulation.report import Simulated, lead, write_report
from sam_evaluation.simulation.tables import Tables

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
) -> Done:
    return Done(fate, "pit", clicks, painted, relabelled, iou, score, reached, "")


OUTLINED = action("outlined", 5, reached=(0.3, 0.5, 0.65, 0.6, 0.8))
PAINTED = action("outlined", 20, painted=True, reached=(0.2, 0.72))
ACCEPTED = action("accepted", 1, 0.95, 0.9)
CORRECTED = action("corrected", 3, 0.55, 0.6, relabelled=True, reached=(0.7, 0.9))
DELETED = action("deleted", 1, 0.1, 0.2)


@pytest.fixture
def tables(tmp_path: Path, data: Data, conditions: Conditions) -> Tables:
    """Two seeds, two images each: plain takes 10 and 25 or 10 and 10 clicks, the memory 10 and 5 clicks with both."""
    tasks = []

    def write(plan: Plan, seed: int, *events: Labelled | Measured | Tuned) -> None:
        task = Task(plan, seed, data, conditions, tmp_path / f"{plan.name}-{seed}")
        for event in events:
            Journal(task.journal).append(event)
        tasks.append(task)

    first = Labelled(1, "a", (1, 1), (OUTLINED, OUTLINED))
    for seed in range(2):
        last = (OUTLINED, PAINTED if seed == 0 else OUTLINED)
        write(Plan(), seed, first, Labelled(2, "b", (1, 1), last))
        second = Labelled(2, "b", (1, 1), (DELETED, ACCEPTED, CORRECTED))
        for strategy, ious in (("random", (0.2, 0.4)), ("gain", (0.4, 0.6))):
            measured = [Measured(at, "v", {"pit": iou, "rust": iou}) for at, iou in zip((1, 2), ious, strict=True)]
            write(plan_of_strategy(strategy), seed, first, measured[0], second, measured[1])
    return Tables.of(tasks)


@pytest.fixture
def simulated(tables: Tables, conditions: Conditions) -> Simulated:
    card = DatasetCard("masks", "Parts <i>of</i> a line", "images/", "none")
    return Simulated(tables, ARM_NAMES, STRATEGIES, 2, conditions, card, "masks:parts", "0123", 3, "nano-1")


def test_an_arm_is_held_against_plain_on_the_same_images_of_the_same_seed(tables: Tables) -> None:
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


def test_who_accepts_less_stops_clicking_earlier(tables: Tables) -> None:
    rows = summary.by_accept(tables, ARM_NAMES, 0.9).set_index(["arm", "accept"])
    # At 0.6 an object takes 3 clicks, and 2 the one whose mask was painted after all.
    assert rows.loc[("plain", 0.6), "per_object"] == pytest.approx(((3 + 3 + 3 + 2) / 4 + 3) / 2)
    assert rows.loc[("plain", 0.8), "per_object"] == pytest.approx(((5 + 5 + 5 + 20) / 4 + 5) / 2)
    assert rows.loc[("+memory", 0.6), "ratio"] == pytest.approx(((6 + 1 + 1 + 2) / 11 + 10 / 12) / 2)
    # At what was asked for, it is what was counted.
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
        (action("outlined", 4, 0.75), 0),
        (action("outlined", 4, 0.6, reached=(0.5, 0.71)), 2),
    ],
    ids=["accepted", "fair enough", "corrected", "never", "deleted", "was redrawn", "redrawn"],
)
def test_what_an_action_costs_who_accepts_less(done: Done, clicks: int) -> None:
    assert summary.clicks_until(done, 0.7) == clicks


def test_without_plain_there_is_nothing_to_hold_against(tables: Tables) -> None:
    alone = Tables(
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


def test_clicks_add_up_over_images(tables: Tables) -> None:
    curve = summary.clicks_curve(tables, ARM_NAMES).set_index(["arm", "images"])["value"]
    assert curve["+memory"].tolist() == [10, 15]
    assert curve["plain"].tolist() == [10, 27.5]


def test_what_random_has_at_the_end_is_looked_for_on_each_curve(tables: Tables) -> None:
    gain, random = summary.strategies_table(tables, STRATEGIES).to_dict("records")
    assert (gain["needed"], random["needed"]) == (1, 2)
    assert (gain["end"], random["end"]) == pytest.approx((0.6, 0.4))
    assert np.isnan(summary.first_reached([1, 2], [0.1, 0.2], 0.3))
    assert summary.first_reached([1, 2, 3], [0.5, 0.4, 0.6], 0.3) == 1


def test_proposals_are_counted_by_what_became_of_them(tables: Tables) -> None:
    (row,) = summary.fates(tables, ARM_NAMES).to_dict("records")
    thirds = [row[name] for name in ("accepted", "corrected", "deleted")]
    assert thirds == pytest.approx([1 / 3] * 3)
    assert (row["proposals"], row["missed"], row["relabelled"]) == (1.5, 0.5, 0.5)
    by_score = summary.fates_by_score(tables, "+memory").set_index("score")
    assert by_score.loc[0.1, "deleted"] == by_score.loc[0.9, "accepted"] == by_score.loc[0.5, "corrected"] == 1
    assert by_score["proposals"].tolist() == [2, 0, 2, 0, 2]


def test_an_object_is_missed_where_nothing_was_proposed_for_it(
    tmp_path: Path, data: Data, conditions: Conditions
) -> None:
    task = Task(ARMS["+memory"], 0, data, conditions, tmp_path)
    redrawn = (action("deleted", 1, 0.7, 0.6), action("outlined", 4, 0.7))
    Journal(task.journal).append(Labelled(1, "a", (1, 1), (*redrawn, OUTLINED)))
    (row,) = Tables.of([task]).images.to_dict("records")
    assert (row["objects"], row["outlined"], row["missed"], row["deleted"], row["clicks"]) == (2, 2, 1, 1, 10)


def test_a_difference_that_is_not_sure_is_not_told_as_one(simulated: Simulated) -> None:
    totals = summary.totals(simulated.tables, ARM_NAMES)
    strategies = summary.strategies_table(simulated.tables, STRATEGIES)
    unsure = " ".join(lead(simulated, totals, strategies))
    assert "That it differs from plain at all is not shown." in unsure
    assert "gain has after 1 [1, 1] images; random itself after 2 [2, 2] images" in unsure
    sure = " ".join(lead(simulated, totals.assign(ratio_low=0.4, ratio_high=0.8), strategies))
    assert "+memory took 15 [15, 15], 41\N{NO-BREAK SPACE}% fewer" in sure
    assert "not shown" not in sure
    never = " ".join(lead(simulated, totals, strategies.assign(needed=[np.nan, 2.0])))
    assert "Not with every seed does gain reach what random has learnt at the end." in never
    worse = " ".join(lead(simulated, totals.assign(saved=-0.2, ratio=1.2), strategies))
    assert "20\N{NO-BREAK SPACE}% more" in worse


def test_the_report_holds_figures_tables_and_how_clicks_are_counted(simulated: Simulated, tmp_path: Path) -> None:
    told = write_report(simulated, tmp_path)
    page = (tmp_path / "report.html").read_text()
    assert page.count("data:image/png;base64") == 3
    assert "Parts &lt;i&gt;of&lt;/i&gt; a line" in page
    assert "<i>of</i>" not in page
    for words in (
        "How clicks are counted",
        "How proposals fared",
        "What to label next",
        "Read with care",
        "0.589",
        "IoU 0.75",
    ):
        assert words in page
    with Image.open(tmp_path / "figures" / "clicks.png") as picture:
        assert min(picture.size) > 600
    assert json.loads((tmp_path / "summary.json").read_text()) == told
    assert told["arms"][0]["pixel_iou"] is None
    assert pd.read_csv(tmp_path / "images.csv")["clicks"].sum() == 55 + 2 * 30
    actions = pd.read_csv(tmp_path / "actions.csv")
    assert len(actions) == 8 + 2 * 10
    assert actions["reached"][0] == "0.3 0.5 0.65 0.6 0.8"


def test_tuning_is_told_with_what_the_model_then_answered(
    simulated: Simulated, tmp_path: Path, data: Data, conditions: Conditions
) -> None:
    task = Task(ARMS["+finetune"], 0, data, conditions, tmp_path / "tuned")
    for event in (
        Labelled(1, "a", (1, 1), (OUTLINED,)),
        Measured(1, "v1", {"pit": 0.2}, 0.51, 0.41),
        Labelled(2, "b", (1, 1), (OUTLINED,)),
        Tuned(2, "nano-0001", True, "better"),
        Measured(2, "v2", {"pit": 0.3}, 0.62, 0.52),
    ):
        Journal(task.journal).append(event)
    run = Simulated(**{**vars(simulated), "tables": Tables.of([task]), "arms": ["+finetune"], "strategies": []})
    write_report(run, tmp_path / "report")
    page = (tmp_path / "report" / "report.html").read_text()
    assert "+finetune, after 2" in page
    assert "1 of 1" in page
    assert all(number in page for number in ("0.510", "0.410", "0.620", "0.520"))
    assert (tmp_path / "report" / "figures" / "tuning.png").exists()


def test_many_painted_masks_are_a_caution(simulated: Simulated, tmp_path: Path) -> None:
    write_report(simulated, tmp_path / "few")
    assert "painted by hand in the end" not in (tmp_path / "few" / "report.html").read_text()
    painted = simulated.tables.images.assign(painted=simulated.tables.images["objects"])
    tables = Tables(painted, simulated.tables.actions, simulated.tables.quality, simulated.tables.tunings)
    write_report(Simulated(**{**vars(simulated), "tables": tables}), tmp_path / "many")
    page = (tmp_path / "many" / "report.html").read_text()
    assert "of all masks were painted by hand in the end, at 10 clicks each" in page
    assert Habits().painting == 10
