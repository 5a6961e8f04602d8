"""Brush strokes, in cases where they can be counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from sam_backend.arrays import BoolArray
from sam_evaluation import metrics
from sam_evaluation.simulation.actions import Tool
from sam_evaluation.simulation.painting import MOST_STROKES, strokes

NOTHING = np.zeros((60, 90), bool)


def bar(left: int, right: int, top: int = 20, bottom: int = 30) -> BoolArray:
    mask = NOTHING.copy()
    mask[top:bottom, left:right] = True
    return mask


def test_a_bar_as_wide_as_a_brush_is_one_stroke_but_for_its_corners() -> None:
    first = next(strokes(NOTHING, bar(10, 80)))
    assert (first.tool, first.resized) == (Tool.BRUSH, False)
    assert metrics.iou(first.mask, bar(10, 80)) > 0.85


def test_what_lies_apart_takes_strokes_of_its_own() -> None:
    two = bar(5, 35) | bar(55, 85)
    first, second, *_ = strokes(NOTHING, two)
    assert metrics.iou(first.mask, two) < 0.55
    assert metrics.iou(second.mask, two) > 0.8


def test_the_eraser_takes_away_what_is_too_much_and_nothing_else() -> None:
    truth = bar(10, 50)
    (first, *_) = strokes(bar(10, 80), truth)
    assert first.tool is Tool.ERASER
    assert metrics.iou(first.mask, truth) > 0.85
    assert (first.mask & truth).sum() == truth.sum()


@pytest.mark.parametrize("seed", range(3))
def test_strokes_never_leave_the_object_and_end_with_it(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth, mask = (
        np.logical_or.reduce([bar(x, x + 20, y, y + 12) for x, y in rng.integers(0, 48, (3, 2))]) for _ in range(2)
    )
    made = list(strokes(mask, truth))
    ious = [metrics.iou(stroke.mask, truth) for stroke in made]
    assert ious == sorted(ious)
    assert len(set(ious)) == len(ious)
    assert len(made) < MOST_STROKES
    np.testing.assert_array_equal(made[-1].mask, truth)


def test_another_size_is_only_taken_where_it_is_worth_an_action() -> None:
    # Two bars of equal width and a much thinner one: the brush keeps its size for the second.
    truth = bar(5, 85, 5, 15) | bar(5, 85, 25, 35) | bar(5, 85, 50, 52)
    first, second, third, *_ = strokes(NOTHING, truth)
    assert [first.resized, second.resized, third.resized] == [False, False, True]


def test_a_mask_that_is_right_or_empty_takes_none() -> None:
    assert list(strokes(bar(5, 20), bar(5, 20))) == []
    assert list(strokes(NOTHING, NOTHING)) == []
