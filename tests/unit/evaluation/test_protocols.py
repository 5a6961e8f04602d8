"""Simulated annotators: their clicks, boxes and corrections."""

from __future__ import annotations

import numpy as np
import pytest

from sam_backend.masks import deepest_point
from sam_backend.samples import Object
from sam_backend.segmenters import Candidates, Embedding, ModelInfo
from sam_evaluation.errors import EvaluationError
from sam_evaluation.protocols import simulated_clicks
from sam_evaluation.protocols.named_protocols import parse_protocols


def square(size: int = 40, low: int = 10, high: int = 21) -> np.ndarray:
    mask = np.zeros((size, size), bool)
    mask[low:high, low:high] = True
    return mask


def test_the_centre_is_the_deepest_pixel_and_the_edge_of_the_image_is_outside() -> None:
    assert deepest_point(square()) == (15, 15)
    assert deepest_point(square(low=0, high=11)) == (5, 5)


def test_a_correction_is_in_the_deepest_error_and_says_what_is_wrong() -> None:
    truth, mask = square(), square()
    mask[10:14, 10:21] = False
    assert simulated_clicks.correction(mask, truth, []) == ((11, 11), 1)
    mask[25:40, 0:15] = True
    assert simulated_clicks.correction(mask, truth, []) == ((7, 32), 0)


def test_nothing_is_corrected_twice_or_without_need() -> None:
    truth = square()
    assert simulated_clicks.correction(truth, truth, []) is None
    almost = truth.copy()
    almost[10, 10] = False
    assert simulated_clicks.correction(almost, truth, []) == ((10, 10), 1)
    assert simulated_clicks.correction(almost, truth, [(10, 10)]) is None


def test_random_clicks_are_on_the_object_and_spread_clicks_are_deeper() -> None:
    rng, mask = np.random.default_rng(0), square()
    anywhere = np.array([simulated_clicks.random_pixel(rng, mask) for _ in range(300)])
    spread = np.array([simulated_clicks.around_deepest_point(rng, mask) for _ in range(300)])
    for points in (anywhere, spread):
        assert mask[points[:, 1], points[:, 0]].all()
        assert len(np.unique(points, axis=0)) > 10
    assert np.abs(spread - 15).mean() < 0.6 * np.abs(anywhere - 15).mean()


def test_a_jittered_box_moves_as_sam_was_trained_and_stays_in_the_image() -> None:
    rng, mask = np.random.default_rng(0), square(size=200, low=50, high=150)
    boxes = np.array([simulated_clicks.jittered_box(rng, mask) for _ in range(400)])
    assert np.abs(boxes - [50, 50, 150, 150]).max() <= 20
    assert boxes.std(0) == pytest.approx([9.6] * 4, rel=0.15)
    at_the_edge = np.array([simulated_clicks.jittered_box(rng, square(low=0, high=40)) for _ in range(50)])
    assert at_the_edge.min() >= 0
    assert at_the_edge.max() <= 40


class Half:
    """Answers with the left part of the image, wider with each click; remembers its prompts."""

    name = version = "half"
    info = ModelInfo(name, "Left parts", "Apache-2.0", lambda *_: Half())

    def __init__(self) -> None:
        self.prompts: list[object] = []

    def encode(self, image: np.ndarray) -> Embedding:
        return Embedding({}, image.shape[:2])

    def decode(self, embedding, prompts, *, multimask=None):
        self.prompts += prompts
        return [self._answer(embedding.size, prompt) for prompt in prompts]

    def _answer(self, size, prompt) -> Candidates:
        masks = np.zeros((3 if prompt.is_ambiguous else 1, *size), bool)
        masks[:, :, : 10 + 5 * len(prompt.points)] = True
        logits = np.full((len(masks), 4, 4), len(prompt.points), np.float32)
        return Candidates(masks, np.linspace(0.9, 0.1, len(masks), dtype=np.float32), logits)


def test_corrected_clicks_feed_the_logits_back_and_stop_when_the_mask_is_perfect() -> None:
    model, mask = Half(), np.zeros((30, 40), bool)
    mask[:, :25] = True
    [protocol] = parse_protocols("clicks:8")
    embedding = Embedding({}, mask.shape)
    answers = list(protocol.run(model, embedding, [Object(mask, "a"), Object(~mask, "b")], np.random.default_rng(0)))
    assert [answer.click for answer in answers if answer.object == 0] == [1, 2, 3]
    assert [answer.click for answer in answers if answer.object == 1] == list(range(1, 9))
    first, _, second, *_ = model.prompts
    assert first.logits is None
    assert second.logits is not None
    assert (second.logits == 1).all()
    assert len(second.points) == 2


def test_a_protocol_that_is_named_twice_is_measured_once():
    protocols = parse_protocols("box+clicks:2, box,everything,box+clicks:02,box,everything,clicks:2")
    assert [protocol and protocol.name for protocol in protocols] == ["box+clicks:2", "box", None, "clicks:2"]


def test_spread_corrections_stay_in_the_wrong_region_that_a_centred_one_clicks_in() -> None:
    truth, mask = square(), square()
    mask[10:16, 10:21] = False
    mask[17:21, 10:21] = False
    mask[30:33, 30:33] = True
    rng = np.random.default_rng(0)
    drawn = [simulated_clicks.correction(mask, truth, [(13, 12)], rng, simulated_clicks.SPREAD) for _ in range(300)]
    points = np.array([point for point, _ in drawn])
    assert {label for _, label in drawn} == {1}
    assert ((points >= [10, 10]) & (points < [21, 16])).all()
    assert len(np.unique(points, axis=0)) > 10
    assert [13, 12] not in points.tolist()


def test_spread_clicks_are_seeded_and_an_object_has_its_own_draws() -> None:
    mask = np.zeros((30, 40), bool)
    mask[:, 3:25] = True
    [protocol] = parse_protocols("spread-clicks:4")

    def clicks(objects: list[Object], seed: int) -> list[list[float]]:
        model = Half()
        list(protocol.run(model, Embedding({}, mask.shape), objects, np.random.default_rng(seed)))
        return next(prompt.points.ravel().tolist() for prompt in model.prompts if len(prompt.points) == 4)

    one, other = Object(mask, "a"), Object(~mask, "b")
    assert protocol.name == "spread-clicks:4"
    assert clicks([one], 0) == clicks([one], 0) == clicks([one, other], 0)
    assert clicks([one], 0) != clicks([one], 1)


@pytest.mark.parametrize("spread", [0, 1e-4])
def test_spread_clicks_without_spread_are_centred_clicks(spread: float) -> None:
    rng, truth, mask = np.random.default_rng(0), square(), square()
    mask[10:13, 10:14] = False
    mask[25:40, 0:15] = True
    assert simulated_clicks.around_deepest_point(rng, truth, spread) == deepest_point(truth)
    assert simulated_clicks.correction(mask, truth, [], rng, spread) == ((7, 32), 0)


def test_corrections_after_a_box_keep_the_box_and_begin_with_its_answer() -> None:
    model, mask = Half(), np.zeros((30, 40), bool)
    mask[:, 3:25] = True
    [protocol] = parse_protocols("box+clicks:3")
    assert (protocol.name, protocol.needs) == ("box+clicks:3", {"box", "points"})
    answers = list(protocol.run(model, Embedding({}, mask.shape), [Object(mask, "a")], np.random.default_rng(0)))
    assert [answer.click for answer in answers] == [0, 1, 2, 3]
    first, second, *_ = model.prompts
    assert (len(first.points), first.logits) == (0, None)
    # Half answers a box with the leftmost 10 columns: the deepest error lies to the right of it.
    assert second.labels.tolist() == [1]
    assert second.points[0, 0] > 10
    assert (second.logits == 0).all()
    assert all(prompt.box.tolist() == [3, 0, 25, 30] for prompt in model.prompts)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("bix", "did you mean box"),
        ("sketch", "There is no protocol 'sketch'"),
        ("clicks:0", "1 to 20"),
        ("clicks:x", "1 to 20"),
        ("box+clicks:21", r"box\+clicks:N takes 1 to 20"),
        ("box+clicks", "did you mean box"),
        (",", "at least"),
    ],
)
def test_an_unknown_protocol_is_reported_in_a_sentence(text: str, sentence: str) -> None:
    with pytest.raises(EvaluationError, match=sentence):
        parse_protocols(text)
