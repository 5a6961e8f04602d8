import io

import numpy as np
import pytest

from sam_backend.samples import Cropped
from sam_backend.segmenters import Prompt
from sam_backend.segmenters.answers_memo import AnswersMemo, EarlierAnswer
from sam_backend.segmenters.refinement import refine
from threshold_segmenter import ThresholdSegmenter

IMAGE = np.repeat(np.linspace(0, 250, 40).astype(np.uint8)[None, :, None], 8, 0).repeat(3, 2)


def chain(count):
    return Prompt(np.array([(5 + 3 * number, 4) for number in range(count)], np.float32), np.ones(count, int))


@pytest.mark.parametrize("corrections", ["model", "refiner"])
def test_a_chain_of_ten_clicks_costs_one_decoding_after_a_restart(tmp_path, corrections, monkeypatch):
    info = ThresholdSegmenter.info
    monkeypatch.setattr(ThresholdSegmenter, "info", type(info)(**{**vars(info), "corrections": corrections}))
    before, memo = ThresholdSegmenter(), AnswersMemo(folder=tmp_path)
    for count in range(1, 10):
        refine(before, before.encode(IMAGE), chain(count), memo, "image")
    memo.close()
    warm = refine(before, before.encode(IMAGE), chain(10), memo, "image")
    after = ThresholdSegmenter()
    cold = refine(after, after.encode(IMAGE), chain(10), AnswersMemo(folder=tmp_path), "image")
    assert len(after.asked) == 1
    np.testing.assert_array_equal(cold.masks, warm.masks)


def test_masks_and_logits_are_the_same_after_they_were_packed():
    mask = np.zeros((20, 30), bool)
    mask[3:9, 4:11] = np.eye(6, 7) > 0
    earlier = EarlierAnswer.unpack(EarlierAnswer.of_mask(Cropped.of(mask)).pack())
    np.testing.assert_array_equal(earlier.mask, mask)
    logits = np.random.default_rng(0).normal(size=(4, 5)).astype(np.float32)
    earlier = EarlierAnswer.unpack(EarlierAnswer(logits, (1, 2, 30, 40)).pack())
    np.testing.assert_array_equal(earlier.logits, logits)
    assert earlier.window == (1, 2, 30, 40)


def test_a_damaged_answer_is_computed_again(tmp_path, caplog):
    memo = AnswersMemo(folder=tmp_path)
    memo._disk.set(b"key", b"no answer")
    assert memo.get(b"key") is None
    assert "cannot be read" in caplog.text


ZEROS, BYTE, LOGITS = np.zeros(4, int), np.zeros(1, np.uint8), np.zeros((8, 8), np.float32)


@pytest.mark.parametrize(
    "arrays",
    [
        {"box": ZEROS, "size": ZEROS[:2]},
        {"box": ZEROS[:3], "size": ZEROS[:2], "logits": LOGITS},
        {"box": ZEROS, "size": ZEROS[:2], "logits": LOGITS[0]},
        {"box": ZEROS, "size": ZEROS[:2], "logits": LOGITS * np.nan},
        {"box": ZEROS, "size": ZEROS[:2], "logits": LOGITS, "window": ZEROS[:2]},
        {"box": np.array([0, 0, 9, 9]), "size": np.array([9, 9]), "packed": BYTE},
        {"box": np.array([0, 0, 8, 1]), "size": np.array([1, 4]), "packed": BYTE},
    ],
    ids=["neither", "box", "shape", "NaN", "window", "short", "outside"],
)
def test_the_answer_of_another_version_is_computed_again(tmp_path, caplog, arrays):
    content, memo = io.BytesIO(), AnswersMemo(folder=tmp_path)
    np.savez(content, **arrays)
    memo._disk.set(b"key", content.getvalue())
    assert memo.get(b"key") is None
    assert "cannot be read" in caplog.text


def test_a_request_that_ends_after_the_memo_is_answered(tmp_path):
    memo = AnswersMemo(folder=tmp_path)
    memo.close()
    memo.put(b"key", EarlierAnswer(np.zeros((2, 2), np.float32)))
    assert memo.get(b"key") is not None
