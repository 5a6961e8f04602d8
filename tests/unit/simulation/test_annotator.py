"""The clicks on an image, in cases where they can be counted by hand."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from sam_backend.arrays import BoolArray
from sam_backend.memory.proposals import Proposal
from sam_backend.samples import Object
from sam_backend.segmenters import Candidates, Embedding, ModelInfo, Prompt
from sam_evaluation.simulation.actions import Fate
from sam_evaluation.simulation.annotator import Action, Habits, Manner, annotate

SIZE = (40, 60)
HABITS = Habits(accept=0.9, most_clicks=4, painting=7)
CLICKS = Manner()


def bar(left: int, right: int, top: int = 10, bottom: int = 20) -> BoolArray:
    mask = np.zeros(SIZE, bool)
    mask[top:bottom, left:right] = True
    return mask


class Scripted:
    """A segmenter that answers with the given masks in order, and repeats the last one."""

    name = version = "scripted"
    info = ModelInfo(name, "Masks in order", "Apache-2.0", lambda *_: Scripted(), corrections="refiner")

    def __init__(self, *masks: BoolArray) -> None:
        self.masks = list(masks)
        self.asked: list[Prompt] = []

    def encode(self, image: object) -> Embedding:
        raise AssertionError("nothing must be encoded")

    def decode(
        self, embedding: Embedding, prompts: Sequence[Prompt], *, multimask: bool | None = None
    ) -> list[Candidates]:
        self.asked += prompts
        masks = [self.masks.pop(0) if len(self.masks) > 1 else self.masks[0] for _ in prompts]
        ones = np.ones(1, np.float32)
        return [Candidates(mask[None], ones, np.where(mask[None], 10, -10).astype(np.float32)) for mask in masks]


def label(
    segmenter: Scripted,
    objects: list[Object],
    proposals: list[Proposal],
    habits: Habits = HABITS,
    manner: Manner = CLICKS,
) -> list[Action]:
    return annotate(segmenter, Embedding({}, SIZE), objects, proposals, habits, manner)


def summary(actions: list[Action]) -> list[tuple[str, str, int]]:
    return [(action.fate.value, action.label, action.clicks) for action in actions]


TRUE = Object(bar(10, 30), "pit")
GOOD = bar(10, 29)
"""IoU 0.95 with it."""
FAIR = bar(10, 24)
"""IoU 0.7."""
POOR = bar(10, 19)
"""IoU 0.45."""


def test_an_object_costs_its_clicks_until_it_is_good_enough() -> None:
    segmenter = Scripted(POOR, FAIR, GOOD)
    (action,) = label(segmenter, [TRUE], [])
    assert summary([action]) == [("outlined", "pit", 3)]
    assert not action.painted
    assert action.reached == pytest.approx((0.45, 0.7, 0.95))
    np.testing.assert_array_equal(action.mask, GOOD)
    first, _, last = segmenter.asked
    assert TRUE.mask[int(first.points[0, 1]), int(first.points[0, 0])]
    assert last.labels.tolist() == [1, 1, 1]
    # As when serving: the last answer is part of the next prompt.
    assert first.mask is None
    np.testing.assert_array_equal(last.mask, FAIR)


def test_the_rest_is_painted_at_its_price_and_the_mask_is_then_the_truth() -> None:
    (action,) = label(Scripted(FAIR), [TRUE], [])
    assert summary([action]) == [("outlined", "pit", 4 + 7)]
    assert action.painted
    np.testing.assert_array_equal(action.mask, TRUE.mask)


def test_a_good_proposal_costs_one_click_and_is_accepted_unchanged() -> None:
    segmenter = Scripted(TRUE.mask)
    (action,) = label(segmenter, [TRUE], [Proposal(GOOD, "pit", 0.8)])
    assert summary([action]) == [("accepted", "pit", 1)]
    assert (action.iou, action.score) == (pytest.approx(0.95), 0.8)
    np.testing.assert_array_equal(action.mask, GOOD)
    assert segmenter.asked == []


def test_another_label_costs_one_click_more() -> None:
    assert summary(label(Scripted(GOOD), [TRUE], [Proposal(GOOD, "crack", 0.8)])) == [("accepted", "pit", 2)]
    (action,) = label(Scripted(GOOD), [TRUE], [Proposal(FAIR, "crack", 0.8)])
    assert summary([action]) == [("corrected", "pit", 2)]
    assert action.relabelled


def test_a_proposal_without_an_object_costs_one_click_and_leaves_no_mask() -> None:
    elsewhere, same = Proposal(bar(40, 50), "pit", 0.3), Proposal(GOOD, "pit", 0.7)
    # A second proposal of the same object is one too many.
    actions = label(Scripted(GOOD), [TRUE], [elsewhere, same, Proposal(FAIR, "pit", 0.6)])
    assert summary(actions) == [("deleted", "pit", 1), ("deleted", "pit", 1), ("accepted", "pit", 1)]
    assert [action.mask is None for action in actions] == [True, True, False]
    assert label(Scripted(GOOD), [], [elsewhere])[0].fate is Fate.DELETED


def test_a_proposal_with_an_iou_below_a_half_is_deleted_and_its_object_outlined() -> None:
    segmenter = Scripted(GOOD)
    actions = label(segmenter, [TRUE], [Proposal(POOR, "pit", 0.5)])
    assert summary(actions) == [
        ("deleted", "pit", 1),
        ("outlined", "pit", 1),
    ]
    assert segmenter.asked[0].box is None


def test_a_fair_proposal_is_corrected_with_a_click_where_it_is_most_wrong() -> None:
    segmenter = Scripted(GOOD)
    (action,) = label(segmenter, [TRUE], [Proposal(FAIR, "pit", 0.5)])
    assert summary([action]) == [("corrected", "pit", 1)]
    assert (action.iou, action.reached) == (pytest.approx(0.7), (pytest.approx(0.95),))
    (asked,) = segmenter.asked
    np.testing.assert_array_equal(asked.mask, FAIR)
    ((x, y),) = asked.points
    assert TRUE.mask[int(y), int(x)]
    assert not FAIR[int(y), int(x)]
    assert asked.labels.tolist() == [1]
    assert (asked.box, asked.logits) == (None, None)


def test_each_click_on_a_proposal_corrects_what_the_last_one_made_of_it() -> None:
    segmenter = Scripted(POOR, bar(10, 36), GOOD)
    (action,) = label(segmenter, [TRUE], [Proposal(FAIR, "pit", 0.5)])
    assert action.tools == "ppn"
    for asked, mask in zip(segmenter.asked, (FAIR, POOR, bar(10, 36)), strict=True):
        np.testing.assert_array_equal(asked.mask, mask)
    assert segmenter.asked[-1].labels.tolist() == [1, 1, 0]


def test_objects_of_an_image_are_answered_together() -> None:
    other = Object(bar(10, 30, 25, 35), "rust")
    segmenter = Scripted(FAIR, other.mask, GOOD)
    first, second = label(segmenter, [TRUE, other], [])
    assert (first.tools, first.reached[-1]) == ("pp", pytest.approx(0.95))
    assert (second.tools, second.reached, second.label) == ("p", (1.0,), "rust")


def test_a_box_shows_an_object_without_a_proposal_and_clicks_correct_it() -> None:
    segmenter = Scripted(FAIR, GOOD)
    (action,) = label(segmenter, [TRUE], [], manner=Manner(box=True))
    assert (action.tools, action.clicks) == ("op", 2)
    box, click = segmenter.asked
    assert (box.box.tolist(), len(box.points)) == ([10, 10, 30, 20], 0)
    np.testing.assert_array_equal(click.mask, FAIR)
    corrected = Scripted(GOOD)
    label(corrected, [TRUE], [Proposal(FAIR, "pit", 0.5)], manner=Manner(box=True))
    assert corrected.asked[0].box is None


def test_the_rest_is_painted_from_each_stop_at_which_the_mask_is_not_accepted() -> None:
    (action,) = label(Scripted(POOR, FAIR, GOOD), [TRUE], [], manner=Manner(stops=(0, 1, 2, 3, 4)))
    assert [painting.after for painting in action.paintings] == [0, 1, 2]
    for painting in action.paintings:
        assert set(painting.tools) <= {"b", "s"}
        assert painting.reached[-1] >= 0.9
        assert all(iou < 0.9 for iou in painting.reached[:-1])
        assert len(painting.tools) == len(painting.reached) == len(painting.borders)
    # An object whose clicks end early, since nothing is left to click on, is painted from there.
    (action,) = label(Scripted(FAIR), [TRUE], [], manner=Manner(stops=(1, 4)))
    assert [painting.after for painting in action.paintings] == [1, 4]


def test_the_border_of_each_mask_is_measured() -> None:
    proposal = Proposal(FAIR, "pit", 0.5)
    (action,) = label(Scripted(GOOD), [TRUE], [proposal])
    # GOOD is one column short, thus within 2 px all around; FAIR lacks six columns.
    assert action.borders == (1.0,)
    assert 0.5 < action.border < 0.9


def test_with_redraw_a_fair_proposal_is_deleted_and_its_object_outlined() -> None:
    redraw = Habits(accept=0.9, most_clicks=4, painting=7, redraw=True)
    actions = label(Scripted(GOOD), [TRUE], [Proposal(FAIR, "crack", 0.5)], redraw)
    assert summary(actions) == [("redrawn", "pit", 2)]
    assert actions[0].iou == pytest.approx(0.7)


def test_of_two_proposals_for_one_object_the_one_with_its_label_is_kept() -> None:
    proposals = [Proposal(GOOD, "crack", 0.9), Proposal(bar(10, 28), "pit", 0.5)]
    assert summary(label(Scripted(GOOD), [TRUE], proposals)) == [("deleted", "crack", 1), ("accepted", "pit", 1)]


def test_a_click_under_a_label_is_answered_by_the_segmenter_that_the_memory_helps() -> None:
    wrong, right = Scripted(bar(0, 5)), Scripted(bar(30, 50))
    objects = [Object(bar(5, 20), "crack"), Object(bar(30, 50), "pit")]
    actions = annotate(
        wrong, Embedding({}, SIZE), objects, [], HABITS, CLICKS, lambda label: right if label == "pit" else wrong
    )
    assert [(action.label, action.painted, len(action.reached)) for action in actions] == [
        ("crack", True, 4),
        ("pit", False, 1),
    ]
    assert len(right.asked) == 1
