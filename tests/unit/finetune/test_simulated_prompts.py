"""Simulated annotators click and draw where a person would."""

from __future__ import annotations

import numpy as np

from sam_backend.finetune.simulated_prompts import correcting_click, first_click, jittered_box


def square(x0: int, y0: int, x1: int, y1: int) -> np.ndarray:
    mask = np.zeros((60, 80), bool)
    mask[y0:y1, x0:x1] = True
    return mask


def test_a_first_click_is_always_on_the_object_and_often_in_its_centre() -> None:
    mask = square(10, 20, 31, 41)
    rng = np.random.default_rng(0)
    clicks = [first_click(rng, mask) for _ in range(100)]
    assert all(mask[int(y), int(x)] for x, y in clicks)
    assert 30 < sum(click == (20.0, 30.0) for click in clicks) < 70


def test_a_correcting_click_adds_what_is_missing_and_takes_away_what_is_too_much() -> None:
    rng = np.random.default_rng(0)
    mask = square(10, 10, 40, 40)
    (x, y), label = correcting_click(rng, mask, square(10, 10, 20, 40))
    assert label == 1
    assert 20 <= x < 40
    assert 10 <= y < 40
    (x, y), label = correcting_click(rng, mask, mask | square(50, 10, 70, 40))
    assert label == 0
    assert 50 <= x < 70


def test_the_larger_error_is_corrected_first() -> None:
    mask = square(10, 10, 40, 40)
    prediction = (mask & ~square(10, 10, 13, 13)) | square(50, 10, 70, 40)
    assert correcting_click(np.random.default_rng(0), mask, prediction)[1] == 0


def test_a_perfect_prediction_is_confirmed() -> None:
    mask = square(10, 10, 40, 40)
    (x, y), label = correcting_click(np.random.default_rng(0), mask, mask)
    assert label == 1
    assert mask[int(y), int(x)]


def test_boxes_are_tight_or_loosely_drawn_and_never_leave_the_image() -> None:
    rng = np.random.default_rng(0)
    mask = square(0, 20, 50, 60)
    boxes = np.array([jittered_box(rng, mask) for _ in range(200)])
    assert boxes.min() >= 0
    assert boxes[:, 2].max() <= 80
    assert boxes[:, 3].max() <= 60
    assert (boxes[:, 2:] - boxes[:, :2] >= 1).all()
    off = np.abs(boxes[:, 2] - 50)
    assert 0.3 < (off < 2.5).mean() < 0.9
    assert off.max() > 5
