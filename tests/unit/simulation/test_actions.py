"""The work on a mask and what it takes, counted by hand."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from sam_evaluation.simulation.action_tables import (
    BY_HAND,
    ONE_BOX,
    ONE_CLICK,
    actions_by_mask,
    actions_table,
    levels_of,
    stops_at,
    ways_of,
    work_table,
)
from sam_evaluation.simulation.actions import (
    Cost,
    Fate,
    Level,
    Page,
    Painting,
    Work,
    cost_of,
    work_of,
    works_of,
)
from sam_evaluation.simulation.annotator import Action
from sam_evaluation.simulation.journal import ImageLabelled, Journal, RecordedAction
from sam_evaluation.simulation.loop import Conditions, RunSpec
from sam_evaluation.simulation.plans import ARMS, stops_of
from sam_evaluation.simulation.run_tables import RunTables
from sam_evaluation.simulation.simulation_data import SimulationData

AT_NINE = Level(0.9)
BY_CLICKS = Action(
    Fate.OUTLINED,
    "pit",
    4,
    tools="pnp",
    reached=(0.6, 0.82, 0.93),
    borders=(0.5, 0.95, 1.0),
    paintings=(
        Painting(0, "bsb", (0.7, 0.7, 0.92), (0.5, 0.5, 1.0)),
        Painting(1, "be", (0.8, 0.91), (0.7, 1.0)),
        Painting(2, "e", (0.95,), (1.0,)),
    ),
)


QUICKLY_BOXED = Action(Fate.OUTLINED, "pit", 1, tools="o", reached=(0.95,), borders=(1.0,))


def cost(action: Action, level: Level = AT_NINE, stop: int = 3) -> tuple[int, int, int]:
    return tuple(vars(cost_of(work_of(action, level, stop))).values())


def quick(*actions: Action, stop: int = 3, places: tuple[int, ...] = ()) -> list[dict[Work, int]]:
    """The work on the masks of one image, or of the images at some places of a run."""
    rows = [
        SimpleNamespace(**{name: getattr(action, name) for name in action.__dataclass_fields__}, seed=0, images=place)
        for action, place in zip(actions, places or [1] * len(actions), strict=True)
    ]
    return [dict(work) for work in works_of(rows, AT_NINE, stop, Page.QUICK)]


def test_each_prompt_needs_its_label_and_the_answer_is_accepted_once() -> None:
    assert work_of(BY_CLICKS, AT_NINE, 10) == Counter({Work.LABEL: 3, Work.CLICK: 2, Work.NEGATIVE: 1, Work.ACCEPT: 1})
    assert cost(BY_CLICKS) == (4, 4, 0)


def test_who_accepts_less_stops_earlier() -> None:
    assert cost(BY_CLICKS, Level(0.8)) == (3, 3, 0)
    assert cost(BY_CLICKS, Level(0.6)) == (1, 2, 0)
    # The border is right after the second click.
    assert cost(BY_CLICKS, Level(0.9, border=True)) == (3, 3, 0)


def test_painting_after_some_prompts_takes_selecting_tools_and_strokes() -> None:
    prompted = {Work.LABEL: 1, Work.CLICK: 1, Work.ACCEPT: 1}
    painted = {Work.SELECT: 1, Work.BRUSH: 1, Work.ERASER: 1, Work.STROKE: 2, Work.UNSELECT: 1, Work.SMART: 1}
    assert work_of(BY_CLICKS, AT_NINE, 1) == Counter(prompted | painted)
    # At 0.8 the first stroke is enough, and the eraser is not needed.
    assert work_of(BY_CLICKS, Level(0.8), 1)[Work.STROKE] == 1
    assert work_of(BY_CLICKS, Level(0.8), 1)[Work.ERASER] == 0


def test_painting_from_nothing_takes_the_label_and_no_other_tool() -> None:
    assert work_of(BY_CLICKS, AT_NINE, 0) == Counter({Work.LABEL: 1, Work.STROKE: 2, Work.SIZE: 1, Work.UNSELECT: 1})


def test_a_proposal_that_is_left_alone_takes_nothing() -> None:
    good = Action(Fate.ACCEPTED, "pit", 1, iou=0.95, border=1.0, score=0.9)
    assert cost(good) == (0, 0, 0)
    relabelled = Action(Fate.ACCEPTED, "pit", 2, relabelled=True, iou=0.95, score=0.9)
    assert cost(relabelled) == (2, 1, 0)
    fair = Action(Fate.CORRECTED, "pit", 1, iou=0.82, border=0.5, score=0.9, tools="n", reached=(0.92,), borders=(1.0,))
    assert cost(fair, Level(0.8)) == (0, 0, 0)
    # Ctrl lets the click through the region, Alt makes it negative.
    assert cost(fair) == (3, 2, 0)
    assert cost(Action(Fate.DELETED, "pit", 1, iou=0.1, score=0.3)) == (1, 1, 0)


def test_a_proposal_that_is_painted_keeps_its_label() -> None:
    painting = Painting(0, "b", (0.95,), (1.0,))
    fair = Action(Fate.CORRECTED, "pit", 1, iou=0.7, score=0.9, paintings=(painting,))
    assert work_of(fair, AT_NINE, 0) == Counter({Work.SELECT: 1, Work.BRUSH: 1, Work.STROKE: 1, Work.UNSELECT: 1})


def test_a_redrawn_proposal_is_deleted_first() -> None:
    redrawn = Action(
        Fate.REDRAWN, "pit", 2, relabelled=True, iou=0.7, score=0.9, tools="p", reached=(0.95,), borders=(1.0,)
    )
    assert work_of(redrawn, AT_NINE, 5) == Counter(
        {Work.SELECT: 1, Work.DELETE: 1, Work.LABEL: 1, Work.CLICK: 1, Work.ACCEPT: 1}
    )
    assert work_of(redrawn, Level(0.6), 5)[Work.DELETE] == 0


def test_the_quick_page_keeps_the_label_and_accepts_by_itself() -> None:
    assert work_of(BY_CLICKS, AT_NINE, 10, Page.QUICK) == Counter(
        {Work.LABEL: 1, Work.CLICK: 2, Work.NEGATIVE: 1, Work.THROUGH: 1, Work.ACCEPT: 1}
    )
    # A label's key, three clicks, Alt and Ctrl.
    assert cost_of(work_of(BY_CLICKS, AT_NINE, 10, Page.QUICK), Page.QUICK) == Cost(keys=3, clicks=3)
    boxed = {Work.BOX: 1, Work.ACCEPT: 1}
    with_label = boxed | {Work.LABEL: 1}
    rust = replace(QUICKLY_BOXED, label="rust")
    assert quick(QUICKLY_BOXED, QUICKLY_BOXED, rust, QUICKLY_BOXED) == [with_label, boxed, with_label, with_label]
    # Another image begins without a label.
    assert quick(QUICKLY_BOXED, QUICKLY_BOXED, places=(1, 2)) == [with_label, with_label]


def test_what_selects_or_paints_a_region_takes_the_kept_label_away() -> None:
    kept = {Work.BOX: 1, Work.ACCEPT: 1}
    good = Action(Fate.ACCEPTED, "rust", 1, iou=0.95, border=1.0, score=0.9)
    assert quick(QUICKLY_BOXED, good, QUICKLY_BOXED)[2] == kept
    for between in (
        replace(good, relabelled=True),
        Action(Fate.DELETED, "pit", 1, iou=0.1, score=0.3),
        replace(BY_CLICKS, paintings=(Painting(1, "b", (0.95,), (1.0,)),)),
    ):
        last = quick(QUICKLY_BOXED, between, QUICKLY_BOXED, stop=1)[2]
        assert last == kept | {Work.LABEL: 1}, between
    redrawn = replace(QUICKLY_BOXED, fate=Fate.REDRAWN, iou=0.7, score=0.9)
    assert quick(QUICKLY_BOXED, redrawn, QUICKLY_BOXED)[1:] == [
        kept | {Work.SELECT: 1, Work.DELETE: 1, Work.LABEL: 1},
        kept,
    ]


def test_clicks_after_a_box_take_the_other_tool_and_its_label_and_back() -> None:
    corrected = replace(QUICKLY_BOXED, tools="onp", reached=(0.6, 0.8, 0.95), borders=(0.5, 0.5, 1.0))
    common = {Work.BOX: 1, Work.CLICK: 1, Work.NEGATIVE: 1, Work.THROUGH: 1, Work.ACCEPT: 2, Work.OTHER: 2}
    assert work_of(corrected, AT_NINE, 3) == Counter(common | {Work.LABEL: 3})
    assert quick(corrected, QUICKLY_BOXED) == [common | {Work.LABEL: 2}, {Work.BOX: 1, Work.ACCEPT: 1, Work.LABEL: 1}]
    assert quick(QUICKLY_BOXED, corrected)[1] == common | {Work.LABEL: 1}


def test_painting_by_hand_costs_the_same_on_both_pages() -> None:
    works = [work_of(BY_CLICKS, AT_NINE, 0, page, kept) for page in Page for kept in ("", "pit")]
    assert works == [works[0]] * 4


def test_levels_are_those_that_the_runs_reached() -> None:
    assert [level.name for level in levels_of(0.9, 0.674)] == ["0.67", "0.8", "0.85", "0.9", "0.9 or border"]
    assert [level.name for level in levels_of(0.8, 0.9)] == ["0.8", "0.8 or border"]
    assert stops_of(3, by_hand=True) == (0, 1, 2, 3)


@pytest.fixture
def tables(tmp_path: Path, data: SimulationData, conditions: Conditions) -> RunTables:
    """Two seeds of one image with two objects each; the memory proposes one of them with the second seed."""
    specs = []
    good = Action(Fate.ACCEPTED, "pit", 1, iou=0.95, border=1.0, score=0.9)
    for arm, first in (("plain", BY_CLICKS), ("box", QUICKLY_BOXED), ("+memory", BY_CLICKS)):
        for seed in range(2):
            plan = ARMS[arm]
            spec = RunSpec(plan, seed, data, conditions, tmp_path / f"{plan.name}-{seed}")
            second = good if (arm, seed) == ("+memory", 1) else first
            labelled = tuple(map(RecordedAction.of, (first, second)))
            Journal(spec.journal).append(ImageLabelled(1, "a", (1, 1), labelled))
            Journal(spec.journal).append(ImageLabelled(2, "gone", problem="unreadable"))
            specs.append(spec)
    return RunTables.of(specs)


def test_ways_are_compared_on_the_same_images_of_the_same_seed(tables: RunTables) -> None:
    ways = ways_of(["plain", "box", "+memory"], 10)
    assert [way.name for way in ways] == [BY_HAND, ONE_CLICK, ONE_BOX, "plain", "box", "+memory"]
    by_page = actions_table(tables, ways, [AT_NINE])
    rows = by_page[by_page["page"] == Page.DEFAULT].set_index("way")
    # Submitting one image is half a click an object; the image that could not be read is not submitted.
    assert rows.loc[BY_HAND, "actions"] == 5 + 0.5
    assert rows.loc[ONE_CLICK, "actions"] == 10 + 0.5
    assert rows.loc[ONE_BOX, "actions"] == 3 + 0.5
    assert (rows.loc["plain", "actions"], rows.loc["plain", "stop"]) == (8 + 0.5, 3)
    assert rows.loc["plain", ["keys", "clicks", "drags"]].tolist() == [4, 4.5, 0]
    # 17 of 17 actions, and 9 of 17: the mean of ratios of pairs.
    assert rows.loc["+memory", "ratio_plain"] == pytest.approx((1 + 9 / 17) / 2)
    assert rows.loc["+memory", "ratio_hand"] == pytest.approx((17 / 11 + 9 / 11) / 2)
    assert rows.loc["+memory", "ratio_box"] == pytest.approx((17 / 7 + 9 / 7) / 2)
    quickly = by_page[by_page["page"] == Page.QUICK].set_index("way")
    # Both boxes of an image with one label and one submission; painting as before.
    assert quickly.loc[ONE_BOX, "actions"] == (1 + 2 + 1) / 2
    assert quickly.loc[BY_HAND, "actions"] == rows.loc[BY_HAND, "actions"]
    # After the first click the rest is painted, which takes the label away: a label, a click and seven actions each.
    assert (quickly.loc["plain", "actions"], quickly.loc["plain", "stop"]) == ((9 + 9 + 1) / 2, 1)
    assert quickly.loc["plain", "ratio_box"] == 19 / 4


def test_the_number_of_prompts_is_the_one_that_takes_the_fewest_actions(tables: RunTables) -> None:
    rows = actions_table(tables, ways_of(["plain"], 10), levels_of(0.9))
    rows = rows[rows["page"] == Page.DEFAULT].set_index(["level", "way"])
    assert rows.loc[("0.9", "plain"), "stop"] == 3
    # At 0.8, painting after the first click takes 8 actions, the second click only 6.
    assert rows.loc[("0.8", "plain"), "stop"] == 2
    assert rows.loc[("0.8", "plain"), "actions"] == 6.5
    assert rows.loc[("0.9 or border", "plain"), "actions"] == 6.5
    assert rows["ratio_box"].isna().all()


def test_the_table_of_work_adds_up_to_the_actions(tables: RunTables) -> None:
    ways = ways_of(["plain", "+memory"], 10)
    rows = actions_table(tables, ways, [AT_NINE])
    work = work_table(tables, ways, AT_NINE, stops_at(rows, AT_NINE))
    for row in rows.to_dict("records"):
        own = work[work["page"] == row["page"]]
        for kind in ("keys", "clicks", "drags"):
            assert (own[kind] * own[row["way"]]).sum() == pytest.approx(row[kind])


def test_the_actions_on_each_mask_add_up_to_those_of_the_arm(tables: RunTables) -> None:
    ways = ways_of(["plain", "+memory"], 10)
    rows = actions_table(tables, ways, [AT_NINE])
    counted = actions_by_mask(tables, ways, AT_NINE, stops_at(rows, AT_NINE))
    plans = tables.actions["plan"]
    assert counted[plans == ARMS["box"].name].isna().all(axis=None)
    for arm in ("plain", "+memory"):
        for page in Page:
            (row,) = rows[(rows["way"] == arm) & (rows["page"] == page)].to_dict("records")
            # Two seeds with two objects each, and half a submission an object.
            total = counted.loc[plans == ARMS[arm].name, f"actions_{page}"].sum()
            assert total / 4 + 0.5 == pytest.approx(row["actions"])


def test_costs_add_up() -> None:
    assert cost_of(Counter()) == Cost()
    assert cost_of(Counter({Work.STROKE: 3, Work.SUBMIT: 1})).actions == 4
