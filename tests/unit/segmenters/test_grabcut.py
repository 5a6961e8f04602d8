"""GrabCut behind the protocol, on images whose right answer is known."""

from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest

from sam_backend.segmenters import Prompt
from sam_backend.segmenters.grabcut import GrabCutSegmenter

SEGMENTER = GrabCutSegmenter()


def iou(a, b):
    return (a & b).sum() / (a | b).sum()


@pytest.fixture(scope="module")
def scene():
    """A bright disc, a bright bar, and a noisy dark ground."""
    rng = np.random.default_rng(0)
    disc = cv2.circle(np.zeros((240, 320), np.uint8), (100, 120), 40, 1, cv2.FILLED).astype(bool)
    bar = np.zeros((240, 320), bool)
    bar[60:180, 220:240] = True
    image = np.where((disc | bar)[..., None], (190, 170, 90), (60, 70, 80)) + rng.normal(0, 12, (240, 320, 3))
    return SEGMENTER.encode(np.clip(image, 0, 255).astype(np.uint8)), disc, bar


def answer(embedding, **prompt):
    (candidates,) = SEGMENTER.decode(embedding, [Prompt(**prompt)])
    return candidates


def test_a_box_gives_its_object(scene):
    embedding, disc, _ = scene
    candidates = answer(embedding, box=[55, 75, 145, 165])
    assert candidates.masks.shape == (1, 240, 320)
    assert iou(candidates.masks[0], disc) > 0.95


def test_a_lone_click_gives_three_candidates_with_the_object_among_them(scene):
    embedding, disc, _ = scene
    candidates = answer(embedding, points=[[100, 120]], labels=[1])
    assert candidates.masks.shape == (3, 240, 320)
    assert iou(candidates.masks[candidates.best], disc) > 0.9
    assert ((candidates.predicted_iou >= 0) & (candidates.predicted_iou <= 1)).all()


def test_multimask_chooses_three_candidates_or_one(scene):
    embedding, *_ = scene
    prompts = [Prompt(box=[55, 75, 145, 165]), Prompt(points=[[100, 120]], labels=[1])]
    for multimask, counts in ((None, [1, 3]), (True, [3, 3]), (False, [1, 1])):
        answers = SEGMENTER.decode(embedding, prompts, multimask=multimask)
        assert [len(candidates.masks) for candidates in answers] == counts


def test_a_negative_click_takes_a_second_object_out_of_a_box(scene):
    embedding, disc, bar = scene
    both = answer(embedding, box=[55, 55, 245, 185]).masks[0]
    assert both[bar].mean() > 0.9
    negatives = [[230, y] for y in range(65, 180, 12)]
    only = answer(embedding, box=[55, 55, 245, 185], points=negatives, labels=[0] * len(negatives)).masks[0]
    assert not any(only[y, x] for x, y in negatives)
    assert only[disc].mean() > 0.9


def test_a_second_click_with_the_logits_adds_a_second_object(scene):
    embedding, disc, bar = scene
    first = answer(embedding, points=[[100, 120]], labels=[1])
    assert not first.masks[first.best][bar].any()
    logits = first.logits[first.best]
    second = answer(embedding, points=[[100, 120], [230, 120]], labels=[1, 1], logits=logits)
    assert iou(second.masks[0], disc | bar) > 0.9


def test_logits_alone_are_an_earlier_mask_to_cut_again(scene):
    embedding, disc, _ = scene
    rough = np.full((240, 320), -5, np.float32)
    rough[85:155, 65:135] = 5
    assert iou(rough > 0, disc) < 0.9 < iou(answer(embedding, logits=rough).masks[0], disc)


def test_logits_are_signed_and_as_long_as_sams():
    image = np.full((600, 900, 3), 50, np.uint8)
    image[200:400, 300:600] = 220
    candidates = answer(SEGMENTER.encode(image), box=[280, 180, 620, 420])
    assert candidates.logits.shape == (1, 171, 256)
    enlarged = cv2.resize(candidates.logits[0], (900, 600), interpolation=cv2.INTER_LINEAR) > 0
    assert iou(enlarged, candidates.masks[0]) > 0.97


def test_a_cut_that_loses_the_object_gives_the_filled_box():
    box = [20, 200, 60, 230]
    mask = answer(SEGMENTER.encode(np.full((240, 320, 3), 128, np.uint8)), box=box).masks[0]
    expected = np.zeros((240, 320), bool)
    expected[200:230, 20:60] = True
    np.testing.assert_array_equal(mask, expected)


def test_negative_clicks_alone_show_no_object(scene):
    embedding, *_ = scene
    candidates = answer(embedding, points=[[10, 10], [100, 120]], labels=[0, 0])
    assert not candidates.masks.any()
    assert candidates.predicted_iou.tolist() == [0]
    assert (candidates.logits < 0).all()


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (5, 3)])
def test_images_of_a_few_pixels_are_answered(size):
    embedding = SEGMENTER.encode(np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8))
    for prompt in ({"box": [0, 0, size[1], size[0]]}, {"points": [[0, 0]], "labels": [1]}):
        assert answer(embedding, **prompt).masks.shape[1:] == size


def test_a_click_at_the_far_corner_is_answered_there(scene):
    embedding, *_ = scene
    assert answer(embedding, points=[[320, 240]], labels=[1]).masks[:, 239, 319].all()


def test_answers_depend_neither_on_threads_nor_on_the_state_of_opencvs_generator(scene):
    embedding, *_ = scene
    prompts = [Prompt(box=[x, 70, x + 90, 160]) for x in (30, 60, 100, 150)] * 2
    expected = SEGMENTER.decode(embedding, prompts)
    cv2.setRNGSeed(7)
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda prompt: SEGMENTER.decode(embedding, [prompt])[0], prompts))
    for one, other in zip(expected, answers, strict=True):
        np.testing.assert_array_equal(one.masks, other.masks)
        np.testing.assert_array_equal(one.predicted_iou, other.predicted_iou)


def test_an_unsure_cut_has_a_lower_predicted_iou_than_a_clear_one(scene):
    embedding, *_ = scene
    clear = answer(embedding, box=[55, 75, 145, 165]).predicted_iou[0]
    noise = np.random.default_rng(0).integers(0, 256, (240, 320, 3), dtype=np.uint8)
    unsure = answer(SEGMENTER.encode(noise), box=[55, 75, 145, 165]).predicted_iou[0]
    assert clear > 0.9
    assert unsure < clear - 0.1


def test_logits_padded_to_a_square_are_as_good_as_its_own(scene):
    embedding, *_ = scene
    click = {"points": [[100, 120]], "labels": [1]}
    logits = answer(embedding, **click).logits[0]
    padded = np.full((max(logits.shape),) * 2, 9, np.float32)
    padded[: logits.shape[0], : logits.shape[1]] = logits
    click = {"points": [[100, 120], [130, 120]], "labels": [1, 1]}
    own, moved = (answer(embedding, **click, logits=each) for each in (logits, padded))
    np.testing.assert_array_equal(own.masks, moved.masks)
    np.testing.assert_array_equal(own.predicted_iou, moved.predicted_iou)
