from dataclasses import replace

import numpy as np
import pytest

from sam_backend.samples import Cropped
from sam_backend.segmenters import Prompt
from sam_backend.segmenters.answers_memo import AnswersMemo, EarlierAnswer
from sam_backend.segmenters.refinement import refine
from threshold_segmenter import PREDICTED_IOU, SINGLE_IOU, ThresholdSegmenter

# Four bands, bright enough apart that no tolerance joins two of them.
IMAGE = np.repeat(np.array([0, 100, 200, 250], np.uint8), 10)[None, :, None].repeat(8, 0).repeat(3, 2)
CLICKS = [(5, 4), (15, 4), (25, 4)]


@pytest.fixture
def segmenter():
    return ThresholdSegmenter()


@pytest.fixture
def embedding(segmenter):
    return segmenter.encode(IMAGE)


def prompt(count, labels=None, box=None):
    return Prompt(np.array(CLICKS[:count], np.float32), np.array(labels or [1] * count), box)


def test_a_lone_click_gives_the_candidate_of_the_highest_predicted_iou(segmenter, embedding):
    answer = refine(segmenter, embedding, prompt(1), AnswersMemo(), "image")
    assert answer.masks.shape == (1, 8, 40)
    assert answer.logits.shape[0] == 1
    assert answer.predicted_iou == pytest.approx([max(PREDICTED_IOU)])


def test_a_next_click_takes_the_logits_of_the_last_answer_and_gives_the_single_mask(segmenter, embedding):
    memo = AnswersMemo()
    first = refine(segmenter, embedding, prompt(1), memo, "image")
    second = refine(segmenter, embedding, prompt(2), memo, "image")
    np.testing.assert_array_equal(segmenter.asked[-1].logits, first.logits[0])
    assert len(segmenter.asked[-1].points) == 2
    assert second.predicted_iou == pytest.approx([SINGLE_IOU])
    assert len(segmenter.asked) == 2


def test_without_a_memory_the_chain_is_replayed_to_the_same_answer(segmenter, embedding):
    memo = AnswersMemo()
    for count in (1, 2, 3):
        step_by_step = refine(segmenter, embedding, prompt(count, [1, 1, 0][:count]), memo, "image")
    one_by_one, segmenter.asked = segmenter.asked, []
    at_once = refine(segmenter, embedding, prompt(3, [1, 1, 0]), AnswersMemo(), "image")
    np.testing.assert_array_equal(at_once.masks, step_by_step.masks)
    assert [len(p.points) for p in segmenter.asked] == [len(p.points) for p in one_by_one] == [1, 2, 3]


def test_a_negative_click_takes_away_what_it_points_at(segmenter, embedding):
    memo = AnswersMemo()
    refine(segmenter, embedding, prompt(2), memo, "image")
    taken_away = Prompt(np.array([*CLICKS[:2], (16, 2)], np.float32), np.array([1, 1, 0]))
    answer = refine(segmenter, embedding, taken_away, memo, "image")
    assert answer.masks[0, :, :10].all()
    assert not answer.masks[0, :, 10:].any()


def test_with_a_box_the_first_answer_is_that_to_the_box(segmenter, embedding):
    box = np.array([2, 1, 9, 7], np.float32)
    refine(segmenter, embedding, prompt(1, box=box), AnswersMemo(), "image")
    assert [len(p.points) for p in segmenter.asked] == [0, 1]
    assert segmenter.asked[0].logits is None
    assert segmenter.asked[1].logits is not None
    np.testing.assert_array_equal(segmenter.asked[1].box, box)


def test_negative_clicks_before_the_first_positive_one_go_in_with_it(segmenter, embedding):
    refine(segmenter, embedding, prompt(3, [0, 1, 1]), AnswersMemo(), "image")
    assert [p.labels.tolist() for p in segmenter.asked] == [[0, 1], [0, 1, 1]]


@pytest.mark.parametrize(
    ("image", "box", "labels"),
    [("other", None, [1]), ("image", np.array([0, 0, 9, 7], np.float32), [1]), ("image", None, [0])],
    ids=["other image", "other box", "other label"],
)
def test_answers_to_something_else_are_not_taken_for_the_last_one(segmenter, embedding, image, box, labels):
    memo = AnswersMemo()
    refine(segmenter, embedding, prompt(1, labels, box), memo, image)
    segmenter.asked = []
    refine(segmenter, embedding, prompt(2), memo, "image")
    assert [len(p.points) for p in segmenter.asked] == [1, 2]


def test_given_logits_are_used_as_they_are(segmenter, embedding):
    logits = np.full((8, 40), 3, np.float32)
    given = Prompt(np.array(CLICKS[:2], np.float32), np.array([1, 1]), logits=logits)
    refine(segmenter, embedding, given, AnswersMemo(), "image")
    assert len(segmenter.asked) == 1
    assert segmenter.asked[0].logits is logits


def test_the_memory_is_limited_in_bytes():
    memo = AnswersMemo(2 * 4 * 100)
    for key in "abc":
        memo.put(key, EarlierAnswer(np.zeros((10, 10), np.float32)))
    assert memo.get("a") is None
    assert memo.get("b") is not None
    memo.put("large", EarlierAnswer(np.zeros((30, 30), np.float32)))
    assert memo.get("large") is None
    assert memo.get("c") is not None


def stroke(left, right, points):
    """A stroke through all rows of some columns."""
    mask = np.zeros((8, 40), bool)
    mask[:, left:right] = True
    return Prompt(np.array(points, np.float32), np.ones(len(points)), drawn=Cropped.of(mask))


def test_a_stroke_that_covers_little_of_what_it_runs_through_is_answered_with_that(segmenter, embedding):
    line = stroke(4, 6, [(5, 2), (5, 6)])
    answer = refine(segmenter, embedding, line, AnswersMemo(), "image")
    assert segmenter.asked == [line]
    np.testing.assert_array_equal(np.nonzero(answer.masks[0].any(0))[0], np.arange(10))


def test_a_dab_is_a_lone_click(segmenter, embedding):
    answer = refine(segmenter, embedding, stroke(4, 6, [(5, 4)]), AnswersMemo(), "image")
    (asked,) = segmenter.asked
    assert asked.drawn is None
    assert answer.predicted_iou == pytest.approx([max(PREDICTED_IOU)])


def test_a_stroke_over_most_of_what_it_runs_through_goes_in_with_its_box(segmenter, embedding):
    paint = stroke(2, 10, [(5, 2), (5, 6)])
    paint = Prompt(np.array([*paint.points, (25, 4)]), [1, 1, 0], drawn=paint.drawn)
    refine(segmenter, embedding, paint, AnswersMemo(), "image")
    asked = segmenter.asked[-1]
    assert len(segmenter.asked) == 2
    assert (asked.box.tolist(), asked.points.tolist(), asked.labels.tolist()) == ([2, 0, 10, 8], [[25, 4]], [0])
    assert asked.drawn is paint.drawn


def test_a_model_that_takes_no_drawn_masks_gets_points_one_after_the_other(segmenter, embedding):
    segmenter.info = replace(segmenter.info, drawn_masks="points")
    refine(segmenter, embedding, stroke(4, 6, [(5, 2), (5, 6)]), AnswersMemo(), "image")
    assert [(len(asked.points), asked.drawn) for asked in segmenter.asked] == [(1, None), (2, None)]
