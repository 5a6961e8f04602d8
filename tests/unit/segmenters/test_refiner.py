"""The refiner: where it looks, what a click changes, and that clicks are obeyed."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from sam_backend.errors import BadRequestError, WeightsError
from sam_backend.masks import mask_box, mask_iou
from sam_backend.segmenters import Prompt
from sam_backend.segmenters.correcting import Correcting
from sam_backend.segmenters.drawn_masks import mask_logits
from sam_backend.segmenters.refiner.guidance import WINDOW, guidance_maps
from sam_backend.segmenters.refiner.merging import keep_clicks
from sam_backend.segmenters.refiner.placing import LEAST_SIDE, THINNEST, place, thickness
from sam_backend.segmenters.refiner.refiner import Refiner
from sam_backend.segmenters.refiner.resampling import Square
from threshold_segmenter import ThresholdSegmenter

SIZE = (160, 240)
NOWHERE = np.zeros((0, 2), np.float32)


@pytest.fixture(scope="module")
def segmenter() -> Correcting:
    return Correcting(ThresholdSegmenter(), Refiner())


@pytest.fixture(scope="module")
def disc() -> np.ndarray:
    return cv2.circle(np.zeros(SIZE, np.uint8), (120, 80), 30, 1, -1).astype(bool)


@pytest.fixture(scope="module")
def embedding(segmenter, disc):
    grain = np.random.default_rng(0).integers(60, 80, (*SIZE, 1), np.uint8).repeat(3, 2)
    return segmenter.encode(np.where(disc[..., None], grain + 100, grain).astype(np.uint8))


def corrected(segmenter, embedding, mask, clicks, labels):
    answer = segmenter.decode(embedding, [Prompt(np.array(clicks, np.float32), np.array(labels), mask=mask)])[0]
    assert answer.masks.shape == (1, *SIZE)
    assert 0 <= answer.predicted_iou[0] <= 1
    return answer.masks[0]


def test_a_negative_click_takes_away_what_is_wrong_and_little_else(segmenter, embedding, disc):
    wrong = disc | cv2.circle(np.zeros(SIZE, np.uint8), (165, 80), 16, 1, -1).astype(bool)
    mask = corrected(segmenter, embedding, wrong, [(166, 80)], [0])
    assert not mask[80, 166]
    assert mask_iou(mask, disc) > mask_iou(wrong, disc) + 0.1


def test_a_positive_click_adds_what_is_missing(segmenter, embedding, disc):
    half = disc.copy()
    half[:, 118:] = False
    mask = corrected(segmenter, embedding, half, [(135, 80)], [1])
    assert mask[80, 135]
    assert mask_iou(mask, disc) > mask_iou(half, disc) + 0.2


@pytest.mark.parametrize("seed", range(8))
def test_every_click_is_obeyed_and_of_two_on_one_pixel_the_last(segmenter, embedding, disc, seed):
    rng = np.random.default_rng(seed)
    clicks = rng.integers([0, 0], SIZE[::-1], (30, 2))
    labels = rng.integers(0, 2, 30)
    clicks[7], labels[7] = clicks[3], 1 - labels[3]
    mask = corrected(segmenter, embedding, disc, clicks, labels)
    wanted = {tuple(click): label for click, label in zip(clicks.tolist(), labels.tolist(), strict=True)}
    assert all(mask[y, x] == label for (x, y), label in wanted.items())


@pytest.mark.parametrize(("click", "label"), [((8, 8), 0), ((180, 80), 0), ((120, 80), 1)])
def test_a_click_that_the_mask_fulfils_already_changes_nothing(segmenter, embedding, disc, click, label):
    small = disc & (np.arange(SIZE[1]) < 105)
    for mask in (disc, small):
        if mask[click[1], click[0]] == label:
            np.testing.assert_array_equal(corrected(segmenter, embedding, mask, [click], [label]), mask)


def test_clicks_outside_the_image_count_for_its_nearest_pixel(segmenter, embedding, disc):
    assert corrected(segmenter, embedding, disc, [(-40, 500)], [1])[SIZE[0] - 1, 0]


def test_a_mask_far_from_the_click_stays(segmenter):
    image = np.full((400, 900, 3), 90, np.uint8)
    line = cv2.line(np.zeros(image.shape[:2], np.uint8), (20, 200), (880, 200), 1, 2).astype(bool)
    prompt = Prompt(np.array([[60, 204]], np.float32), np.array([0]), mask=line)
    mask = segmenter.decode(segmenter.encode(image), [prompt])[0].masks[0]
    np.testing.assert_array_equal(mask[:, 300:], line[:, 300:])


def test_an_empty_mask_and_a_mask_without_clicks_are_answered(segmenter, embedding, disc):
    assert corrected(segmenter, embedding, np.zeros(SIZE, bool), [(120, 80)], [1])[80, 120]
    assert not corrected(segmenter, embedding, np.zeros(SIZE, bool), [(120, 80)], [0]).any()
    assert mask_iou(corrected(segmenter, embedding, disc, NOWHERE, []), disc) > 0.8


def test_answers_depend_on_the_prompt_alone(segmenter, embedding, disc):
    other = Correcting(ThresholdSegmenter(), Refiner())
    prompt = Prompt(np.array([[125, 84], [10, 10]], np.float32), np.array([1, 0]), mask=disc)
    once, again = segmenter.decode(embedding, [prompt, prompt])
    elsewhere = other.decode(embedding, [prompt])[0]
    np.testing.assert_array_equal(once.masks, again.masks)
    np.testing.assert_array_equal(once.masks, elsewhere.masks)
    assert other.version == segmenter.version


def test_prompts_without_a_mask_go_to_the_model_as_they_are(segmenter, embedding):
    plain, inner = Prompt(np.array([[120, 80]], np.float32), np.array([1])), segmenter._segmenter
    masks = [segmenter.decode(embedding, [plain, replace(plain, mask=np.ones(SIZE, bool)), plain])[k] for k in (0, 2)]
    for answer in masks:
        np.testing.assert_array_equal(answer.masks, inner.decode(embedding, [plain])[0].masks)


def test_a_mask_of_another_image_is_a_bad_request(segmenter, embedding):
    with pytest.raises(BadRequestError, match=r"\(8, 8\), the image \(160, 240\)"):
        segmenter.decode(embedding, [Prompt(mask=np.ones((8, 8), bool))])


def test_a_mask_stands_beside_points_only():
    with pytest.raises(BadRequestError, match="only points"):
        Prompt(box=np.array([0, 0, 2, 2]), mask=np.ones((8, 8), bool))


def test_a_missing_file_says_what_to_do(tmp_path):
    with pytest.raises(WeightsError, match=r"onnx, but it is missing; install sam-inspect again"):
        Refiner(tmp_path)


@pytest.mark.parametrize("width", [2, 3, 6])
def test_a_window_never_makes_a_long_thin_mask_thinner_than_it_can_see(width):
    crack = cv2.line(np.zeros((700, 2000), np.uint8), (10, 50), (1990, 600), 1, width).astype(bool)
    square = place(crack, mask_box(crack), NOWHERE, np.array([1000, 325], np.float32))
    assert thickness(crack) * square.scale >= THINNEST
    assert abs(square.left + square.side / 2 - 1000) < square.side / 4


@pytest.mark.parametrize("shift", [0, 3])
def test_a_window_surrounds_mask_and_clicks_and_stays_where_the_mask_changes_little(shift):
    mask = np.zeros((500, 600), bool)
    mask[200 : 280 + shift, 250:330] = True
    square = place(mask, mask_box(mask), np.array([[340, 240]], np.float32), None)
    assert square == place(mask, mask_box(mask), np.array([[340, 240]], np.float32), None)
    assert square.left <= 250
    assert square.left + square.side >= 341
    assert LEAST_SIDE <= square.side < 200


def test_a_window_shows_the_pixels_where_they_are():
    image = np.random.default_rng(1).integers(0, 255, (300, 400, 3), np.uint8)
    same = Square(100, 50, WINDOW).pixels(image)
    np.testing.assert_array_equal(same, image[50 : 50 + WINDOW, 100 : 100 + WINDOW])
    mask = np.zeros((300, 400), bool)
    mask[100:140, 150:180] = True
    square = Square(90.5, 70.25, 120.5)
    back = square.to_image(square.coverage(mask), (95, 75, 205, 185)) > 0.5
    np.testing.assert_array_equal(back, mask[75:185, 95:205])


def test_the_reach_of_a_click_is_its_distance_to_the_border():
    probability = np.zeros((WINDOW, WINDOW), np.float32)
    probability[40:120, 40:120] = 1
    maps = guidance_maps(probability, np.array([[80, 80], [60, 41]], np.float32), np.array([1, 0]), 1)
    assert maps[2, 80, 80] == 1 == maps[3, 41, 60]
    assert maps[4, 41, 60] == -1
    assert abs(maps[4, 41, 70]) < 0.01
    assert guidance_maps(probability, NOWHERE, np.zeros(0, np.int64), None)[4].max() == 0


def test_a_click_that_the_net_leaves_out_changes_a_few_pixels():
    mask = np.zeros((20, 20), bool)
    keep_clicks(mask, np.array([[5, 5]], np.float32), np.array([1]))
    assert 1 <= mask.sum() <= 9
    assert mask[5, 5]


@pytest.mark.parametrize("size", [(300, 500), (500, 300), (5, 8), (1, 40), (2048, 1000)])
def test_logits_of_a_mask_show_it_where_it_is(size):
    mask = np.zeros(size, bool)
    mask[size[0] // 3 : size[0] // 2 + 1, size[1] // 3 : size[1] // 2 + 1] = True
    low = mask_logits(mask) > 0
    scale = 256 / max(size)
    whole = cv2.resize(mask.view(np.uint8), None, fx=scale, fy=scale, interpolation=cv2.INTER_NEAREST).astype(bool)
    assert mask_iou(low[: whole.shape[0], : whole.shape[1]], whole) > 0.9
    assert not (mask_logits(np.zeros(size, bool)) > 0).any()
