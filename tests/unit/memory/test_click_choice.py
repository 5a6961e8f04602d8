import numpy as np
import pytest

from colour_segmenter import surface
from sam_backend.memory import left_out_examples
from sam_backend.memory.click_choice import DEFAULT_WEIGHT, _covered, chosen_weight, click_gains
from sam_backend.memory.features import AcceptedMask
from sam_backend.memory.project_memory import ProjectMemory
from sam_backend.memory.records import Record
from sam_backend.segmenters import Prompt
from three_masks import EVERYTHING, SQUARE, ThreeMasks

TAUGHT = surface(1, red=[(20, 30)])
CLICK = Prompt(np.array([[72, 62]], np.float32), np.array([1]))
"""In the red square at (60, 50)."""


@pytest.fixture
def segmenter():
    return ThreeMasks()


@pytest.fixture
def asked(segmenter):
    return segmenter.encode(surface(2, red=[(60, 50)])[0])


@pytest.fixture
def memory(tmp_path, segmenter):
    memory = ProjectMemory(tmp_path / "project")
    memory.store.put(Record(1, "2026-11-23T05:00:01Z", 1, "/1.png"))
    memory.catch_up(
        segmenter,
        lambda record: segmenter.encode(TAUGHT[0]),
        lambda record, view: [AcceptedMask(mask, label) for label, mask in TAUGHT[1]],
    )
    return memory


def best(segmenter, embedding, prompt=CLICK):
    return segmenter.decode(embedding, [prompt])[0].best


def test_a_lone_click_takes_the_mask_that_looks_like_what_was_accepted(memory, segmenter, asked):
    assert best(segmenter, asked) == EVERYTHING
    memory.classes(segmenter.version, lambda label: True)
    assert best(memory.helping(segmenter, "red", "image"), asked) == SQUARE


@pytest.mark.parametrize("label", [None, "green"])
def test_without_examples_of_the_label_nothing_changes(memory, segmenter, label):
    memory.classes(segmenter.version, lambda label: True)
    assert memory.helping(segmenter, label, "image") is segmenter


def test_a_click_does_not_wait_for_a_fit(memory, segmenter):
    assert memory.helping(segmenter, "red", "image") is segmenter


def test_only_a_lone_click_is_changed(memory, segmenter, asked):
    memory.classes(segmenter.version, lambda label: True)
    helped = memory.helping(segmenter, "red", "image")
    two = Prompt(np.array([[72, 62], [75, 65]], np.float32), np.array([1, 1]))
    box = Prompt(box=np.array([60, 50, 84, 74], np.float32))
    for prompt in (two, box):
        own, other = (model.decode(asked, [prompt])[0] for model in (segmenter, helped))
        np.testing.assert_array_equal(own.predicted_iou, other.predicted_iou)


def test_what_left_out_examples_speak_against_is_not_done(memory, segmenter, monkeypatch):
    memory.classes(segmenter.version, lambda label: True)
    monkeypatch.setattr(left_out_examples, "chosen_weight", lambda gains: 0.0)
    memory.recalibrate(segmenter, lambda record: segmenter.encode(TAUGHT[0]), lambda record, view: [])
    assert memory.helping(segmenter, "red", "image") is segmenter


def test_clicks_on_accepted_masks_say_what_each_weight_gains(memory, segmenter, asked):
    classes = memory.classes(segmenter.version, lambda label: True)
    square = AcceptedMask(surface(2, red=[(60, 50)])[1][0][1], "red")
    gains = click_gains(segmenter, asked, classes, [square, AcceptedMask(square.mask, "unknown")])
    assert gains.shape == (1, 3)
    assert gains[0, 0] == 0
    assert gains[0, 1] > 0.9


@pytest.mark.parametrize(
    ("gains", "weight"),
    [
        ([], DEFAULT_WEIGHT),
        ([(0, -0.01, -0.01)], DEFAULT_WEIGHT),
        ([(0, -0.01, -0.02)] * 40, 0.0),
        ([(0, 0.01, 0.05)] * 40, 4.0),
    ],
)
def test_accepted_masks_decide_how_much_a_click_heeds_the_memory(gains, weight):
    assert chosen_weight(np.array(gains, float)) == weight


@pytest.mark.parametrize("window", [None, (40, 20, 104, 84)])
def test_a_candidate_is_compared_by_the_clicked_piece_of_its_logits(window):
    size, cells = (96, 128), (12, 16)
    left, top, right, _ = window or (0, 0, 128, 96)
    side = 256
    scale = side / (right - left)
    logits = np.full((side, side), -1, np.float32)
    for box in ((48, 32, 64, 48), (80, 56, 88, 64)):
        x0, y0, x1, y1 = (int((edge - corner) * scale) for edge, corner in zip(box, (left, top) * 2, strict=True))
        logits[y0:y1, x0:x1] = 1
    covered = _covered(logits, window, np.array([50.0, 40.0], np.float32), size, cells)
    expected = np.zeros(cells)
    expected[4:6, 6:8] = 1
    np.testing.assert_allclose(covered, expected, atol=1e-6)
