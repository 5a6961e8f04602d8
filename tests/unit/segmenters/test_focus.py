"""A second look: which crop is encoded, which prompts it gets, and where the answer is placed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sam_backend.errors import BadRequestError
from sam_backend.samples import Cropped
from sam_backend.second_look import Focus
from sam_backend.segmenters import Candidates, Embedding, ModelInfo, Prompt
from sam_backend.segmenters.answers_memo import AnswersMemo
from sam_backend.segmenters.automatic import AutomaticSettings, propose_masks
from sam_backend.segmenters.focus import Focused
from sam_backend.segmenters.model_registry import known_models, load_segmenter
from sam_backend.segmenters.refinement import refine
from sam_backend.segmenters.windows import LEAST_SIDE, contains, logits_region, move_logits, side_of, window_around

SIZE = (1200, 1600)
SPOT = (816, 592, 848, 624)  # xyxy
FAR = (300.0, 200.0)
SIDE = 64  # of logits


class Recorder:
    """Answers with the bright pixels of an image; records all calls."""

    name, version = "recorder", "recorder-1"
    info = ModelInfo(name, "Brightness", "Apache-2.0", lambda *_: Recorder())

    def __init__(self) -> None:
        self.encoded: list[np.ndarray] = []
        self.asked: list[tuple[tuple[int, int], list[Prompt], bool | None]] = []

    def encode(self, image: np.ndarray) -> Embedding:
        self.encoded.append(image)
        return Embedding({"bright": image[..., 0] > 100}, image.shape[:2])

    def decode(self, embedding: Embedding, prompts, *, multimask: bool | None = None) -> list[Candidates]:
        self.asked.append((embedding.size, list(prompts), multimask))
        mask = np.asarray(embedding.arrays["bright"], bool)
        logits = np.full((1, SIDE, SIDE), -5, np.float32)
        for y, x in np.argwhere(mask) * SIDE // max(embedding.size):
            logits[0, y, x] = 5
        scores = np.array([0.9 - max(embedding.size) / 1e4], np.float32)
        return [Candidates(mask[None], scores, logits) for _ in prompts]


@pytest.fixture
def image() -> np.ndarray:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 90, (*SIZE, 3), dtype=np.uint8)
    left, top, right, bottom = SPOT
    image[top:bottom, left:right] = 200
    return image


@pytest.fixture
def inner() -> Recorder:
    return Recorder()


@pytest.fixture
def focused(inner: Recorder) -> Focused:
    return Focused(inner)


def clicks(*points: tuple[float, float], labels: list[int] | None = None, **fields) -> Prompt:
    return Prompt(np.array(points, np.float32), np.array(labels or [1] * len(points)), **fields)


def test_what_was_drawn_is_seen_in_the_crop(focused, inner, image) -> None:
    mask = np.zeros(SIZE, bool)
    left, top, right, bottom = SPOT
    mask[top:bottom, left:right] = True
    (answer,) = focused.decode(focused.encode(image), [Prompt(box=np.array(SPOT), drawn=Cropped.of(mask))])
    ((_, (asked,), _),) = inner.asked
    left, top, right, bottom = answer.window
    np.testing.assert_array_equal(asked.drawn.mask, mask[top:bottom, left:right])


def test_a_box_is_asked_in_a_crop_around_it_in_the_crops_own_pixels(focused, inner, image) -> None:
    box = np.array(SPOT, np.float32)
    points = {"points": np.array([[830, 600]], np.float32), "labels": np.array([1])}
    (answer,) = focused.decode(focused.encode(image), [Prompt(box=box, **points)])
    left, top, right, bottom = answer.window
    np.testing.assert_array_equal(inner.encoded[1], image[top:bottom, left:right])
    ((size, (asked,), multimask),) = inner.asked
    assert size == (bottom - top, right - left) == (LEAST_SIDE, LEAST_SIDE)
    assert asked.box.tolist() == [SPOT[0] - left, SPOT[1] - top, SPOT[2] - left, SPOT[3] - top]
    assert asked.points.tolist() == [[830 - left, 600 - top]]
    assert (asked.window, multimask) == (None, False)


def test_the_crops_answer_lies_where_the_crop_was_and_its_score_and_logits_are_the_crops(focused, image) -> None:
    image[10:30, 10:30] = 255  # bright, but not in the crop
    (answer,) = focused.decode(focused.encode(image), [Prompt(box=np.array(SPOT, np.float32))])
    expected = np.zeros(SIZE, bool)
    expected[SPOT[1] : SPOT[3], SPOT[0] : SPOT[2]] = True
    np.testing.assert_array_equal(answer.masks[0], expected)
    assert answer.predicted_iou == pytest.approx([0.9 - LEAST_SIDE / 1e4])
    assert logits_region(answer.logits[0], answer.window) == pytest.approx(SPOT)


def test_a_click_is_asked_of_the_whole_image_and_then_around_its_mask(focused, inner, image) -> None:
    (answer,) = focused.decode(focused.encode(image), [clicks((830, 600))])
    assert [(size, multimask) for size, _, multimask in inner.asked] == [(SIZE, None), ((LEAST_SIDE,) * 2, True)]
    assert contains(answer.window, np.float32(SPOT), SIZE)


def test_the_next_click_stays_in_the_crop_with_its_logits_and_encodes_nothing(focused, inner, image) -> None:
    embedding = focused.encode(image)
    (first,) = focused.decode(embedding, [clicks((830, 600))])
    inner.asked.clear()
    fed = {"logits": first.logits[0], "window": first.window}
    (second,) = focused.decode(embedding, [clicks((830, 600), (840, 700), FAR, labels=[1, 0, 0], **fed)])
    assert second.window == first.window
    assert len(inner.encoded) == 2
    ((size, (asked,), multimask),) = inner.asked
    assert (size, multimask) == ((LEAST_SIDE,) * 2, False)
    np.testing.assert_array_equal(asked.logits, first.logits[0])
    # The far negative click takes nothing away here; the near one does.
    assert (asked.points + first.window[:2]).tolist() == [[830, 600], [840, 700]]
    assert asked.labels.tolist() == [1, 0]


def test_a_lone_click_that_lost_negative_ones_outside_the_crop_still_gets_one_mask(focused, inner, image) -> None:
    focused.decode(focused.encode(image), [clicks((830, 600), FAR, labels=[1, 0])])
    assert len(inner.asked[1][1][0].points) == 1
    assert inner.asked[1][2] is False


def test_a_positive_click_outside_the_crop_makes_it_larger_and_moves_the_logits(focused, inner, image) -> None:
    embedding = focused.encode(image)
    (first,) = focused.decode(embedding, [clicks((830, 600))])
    outside = (float(first.window[2]) + 20, 600.0)
    (second,) = focused.decode(embedding, [clicks((830, 600), outside, logits=first.logits[0], window=first.window)])
    assert side_of(first.window) < side_of(second.window) < max(SIZE)
    _, (asked,), _ = inner.asked[-1]
    assert (asked.points + second.window[:2]).tolist() == [[830, 600], list(outside)]
    cell = side_of(second.window) / SIDE
    assert logits_region(asked.logits, second.window) == pytest.approx(SPOT, abs=cell)


def test_a_larger_crop_holds_all_that_was_found_before(focused, inner, image) -> None:
    before = (700, 500, 956, 756)
    fed = {"logits": np.ones((SIDE, SIDE), np.float32), "window": before}
    (answer,) = focused.decode(focused.encode(image), [clicks((940, 600), (970, 600), **fed)])
    assert contains(answer.window, np.float32(before), SIZE)


def test_a_click_that_finds_nothing_at_first_keeps_the_whole_images_answer(focused, inner, image) -> None:
    (answer,) = focused.decode(focused.encode(np.zeros_like(image)), [clicks(FAR)])
    assert answer.window is None
    assert len(inner.encoded) == 1


def test_a_positive_click_far_outside_brings_back_the_whole_image(focused, inner, image) -> None:
    embedding = focused.encode(image)
    (first,) = focused.decode(embedding, [clicks((830, 600))])
    (second,) = focused.decode(embedding, [clicks((830, 600), FAR, logits=first.logits[0], window=first.window)])
    assert second.window is None
    size, (asked,), _ = inner.asked[-1]
    assert size == SIZE
    assert asked.points.tolist() == [[830, 600], list(FAR)]
    assert logits_region(asked.logits, (0, 0, SIZE[1], SIZE[0])) == pytest.approx(SPOT, abs=max(SIZE) / SIDE)


def test_what_is_large_in_the_image_is_asked_of_the_whole_image_as_it_is(focused, inner, image) -> None:
    box = Prompt(box=np.array([100, 100, 900, 900], np.float32))
    negative, fed = clicks(FAR, labels=[0]), clicks(FAR, labels=[0], logits=np.ones((SIDE, SIDE), np.float32))
    embedding = focused.encode(image)
    answers = focused.decode(embedding, [box, negative, fed])
    ((size, asked, multimask),) = inner.asked
    assert (size, multimask) == (SIZE, None)
    assert all(one is other for one, other in zip(asked, [box, negative, fed], strict=True))
    assert [answer.window for answer in answers] == [None] * 3


def test_a_small_image_is_never_encoded_twice(focused, inner) -> None:
    image = np.zeros((200, 2 * LEAST_SIDE - 1, 3), np.uint8)
    focused.decode(focused.encode(image), [Prompt(box=np.array([5, 5, 9, 9], np.float32))])
    assert len(inner.encoded) == 1


def test_at_magnification_one_every_smaller_crop_is_encoded(inner, image) -> None:
    always = Focused(inner, 1.0)
    (answer,) = always.decode(always.encode(image), [Prompt(box=np.array([100, 100, 600, 600], np.float32))])
    assert 1 <= max(SIZE) / side_of(answer.window) < 2
    assert always.version != Focused(inner).version != inner.version


def test_prompts_of_one_crop_are_one_batch_and_answers_keep_their_order(focused, inner, image) -> None:
    near = np.array(SPOT, np.float32)
    prompts = [Prompt(box=box) for box in (near, np.float32([0, 0, 1600, 1200]), near + 2, np.float32([9, 9, 40, 40]))]
    answers = focused.decode(focused.encode(image), prompts)
    assert [len(asked) for _, asked, _ in inner.asked] == [1, 2, 1]
    assert answers[0].window == answers[2].window != answers[3].window
    assert answers[1].window is None
    assert [answer.crop(0).area > 0 for answer in answers] == [True, True, True, False]


def test_another_process_decodes_the_embedding_alike(focused, image) -> None:
    embedding = focused.encode(image)
    plain = Embedding({name: np.array(array) for name, array in embedding.arrays.items()}, embedding.size)
    (answer,) = Focused(Recorder()).decode(plain, [clicks((830, 600))])
    (expected,) = focused.decode(embedding, [clicks((830, 600))])
    np.testing.assert_array_equal(answer.masks, expected.masks)


def test_crops_of_another_image_are_not_taken_for_this_ones(focused, inner, image) -> None:
    prompt = Prompt(box=np.array(SPOT, np.float32))
    focused.decode(focused.encode(image), [prompt])
    (answer,) = focused.decode(focused.encode(np.zeros_like(image)), [prompt])
    assert answer.crop(0).area == 0


def test_refinement_feeds_the_window_back_and_a_restarted_server_answers_alike(focused, inner, image) -> None:
    embedding, memo = focused.encode(image), AnswersMemo()
    points = clicks((830, 600), (820, 610), (840, 700), labels=[1, 1, 0])
    for count in (1, 2, 3):
        step = replace(points, points=points.points[:count], labels=points.labels[:count])
        answer = refine(focused, embedding, step, memo, "image")
    step_by_step = [size for size, _, _ in inner.asked]
    assert step_by_step == [SIZE] + [(LEAST_SIDE,) * 2] * 3
    inner.asked.clear()
    at_once = refine(focused, embedding, points, AnswersMemo(), "image")
    assert [size for size, _, _ in inner.asked] == step_by_step
    np.testing.assert_array_equal(at_once.masks, answer.masks)


def test_masks_without_a_prompt_encode_no_crop(focused, inner, image) -> None:
    propose_masks(focused, focused.encode(image), AutomaticSettings(points_per_side=1))
    assert len(inner.encoded) == 1
    assert {size for size, _, _ in inner.asked} == {SIZE}


@pytest.mark.parametrize(
    "region", [(0, 0, 3, 3), (1590, 1190, 1600, 1200), (700, 10, 900, 30), (-50, 400, 20, 2000), (1700, 0, 1800, 9)]
)
def test_a_window_lies_in_the_image_and_holds_what_it_is_around(region) -> None:
    window = window_around(np.float32(region), SIZE)
    assert 0 <= window[0] < window[2] <= SIZE[1]
    assert 0 <= window[1] < window[3] <= SIZE[0]
    assert contains(window, np.float32(region), SIZE)
    assert side_of(window) >= LEAST_SIDE


def test_a_window_is_cut_where_the_image_is_narrower() -> None:
    # Twice 200 in steps of 32: a side of 416 around 1000, from 792 or the next step.
    assert window_around(np.float32([900, 20, 1100, 30]), (64, 3000)) == (800, 0, 1216, 64)


def test_logits_move_there_and_back_and_are_background_where_nothing_was_seen() -> None:
    logits = np.full((SIDE, SIDE), -3, np.float32)
    logits[20:40, 10:30] = 4
    small, large = (200, 100, 200 + 4 * SIDE, 100 + 4 * SIDE), (72, 100, 72 + 8 * SIDE, 100 + 8 * SIDE)
    moved = move_logits(logits, small, large)
    assert logits_region(moved, large) == pytest.approx([240, 180, 320, 260], abs=8)
    assert moved[:, SIDE * 3 // 4 + 1 :].max() == -3
    back = move_logits(moved, large, small)
    assert ((back > 0) == (logits > 0)).mean() > 0.97
    np.testing.assert_array_equal(move_logits(logits, small, small), logits)


def test_a_window_that_is_none_is_refused() -> None:
    with pytest.raises(BadRequestError, match="window"):
        clicks((1, 1), window=(5, 5, 5, 9))


def test_off_and_models_that_need_no_second_look_are_untouched() -> None:
    looks_twice = [(name, focus) for name in ("grabcut", "nano") for focus in Focus]
    assert [("-focus" in load_segmenter(name, focus=focus).version) for name, focus in looks_twice] == [
        (name == "nano" and focus is Focus.AUTO) or focus is Focus.ON for name, focus in looks_twice
    ]
    assert [info.name for info in known_models() if info.focus_pays] == ["nano"]
