"""Masks without a prompt, from a segmenter with known answers: flat objects on a flat ground."""

import numpy as np
import pytest

from sam_backend.segmenters import Candidates, Embedding
from sam_backend.segmenters.automatic import propose_masks

SIZE = (90, 120)
OBJECTS = {1: (10, 10, 50, 40), 2: (70, 20, 100, 80)}


def boxes(proposals):
    return [tuple(proposal.box.tolist()) for proposal in proposals]


class FlatSegmenter:
    """Answers a click with all pixels of the clicked value; higher values get a lower predicted IoU.

    Beside it come a mask of low predicted IoU and one that is unstable. Logits are padded at the bottom to a square,
    with noise in the padding, as SAM's may be.
    """

    name = version = "flat"

    def __init__(self):
        self.batches = []

    def decode(self, embedding, prompts, *, multimask=None):
        assert multimask
        self.batches.append(len(prompts))
        return [self._answer(embedding.arrays["values"], prompt) for prompt in prompts]

    def _answer(self, values, prompt):
        ((x, y),) = prompt.points.astype(int)
        value = values[y, x]
        mask = values == value
        logits = np.full((3, max(SIZE), max(SIZE)), 0.5, np.float32)
        logits[:, : SIZE[0]] = np.where(mask, 9.0, -9.0)
        logits[2, : SIZE[0]] = np.where(mask, 0.5, -9.0)
        iou = 1 - value / 10
        return Candidates(np.stack([mask] * 3), np.array([iou, 0.1, iou], np.float32), logits)


@pytest.fixture
def embedding():
    values = np.zeros(SIZE)
    for value, (left, top, right, bottom) in OBJECTS.items():
        values[top:bottom, left:right] = value
    return Embedding({"values": values}, SIZE)


def test_each_object_is_proposed_once_the_surest_first(embedding):
    proposals = propose_masks(FlatSegmenter(), embedding, points_per_side=8, max_area_fraction=0.5)
    assert boxes(proposals) == list(OBJECTS.values())
    assert [proposal.predicted_iou for proposal in proposals] == pytest.approx([0.9, 0.8])
    assert [proposal.stability for proposal in proposals] == [1, 1]
    for value, proposal in zip(OBJECTS, proposals, strict=True):
        np.testing.assert_array_equal(proposal.mask, embedding.arrays["values"] == value)


def test_the_background_goes_by_its_area(embedding):
    assert boxes(propose_masks(FlatSegmenter(), embedding))[0] == (0, 0, 120, 90)
    assert (0, 0, 120, 90) not in boxes(propose_masks(FlatSegmenter(), embedding, max_area_fraction=0.5))


def test_candidates_below_the_predicted_iou_go(embedding):
    kept = boxes(propose_masks(FlatSegmenter(), embedding, pred_iou_threshold=0.85, max_area_fraction=0.5))
    assert kept == [OBJECTS[1]]


def test_stability_is_the_iou_of_the_masks_at_both_thresholds(embedding):
    class Fading(FlatSegmenter):
        def _answer(self, values, prompt):
            answer = super()._answer(values, prompt)
            left, top, right, bottom = OBJECTS[1]
            answer.logits[0, top:bottom, left : left + (right - left) // 4] = 0
            return answer

    clicked = propose_masks(Fading(), embedding, stability_threshold=0.7, max_area_fraction=0.5)
    assert clicked[0].stability == pytest.approx(0.75)
    kept = boxes(propose_masks(Fading(), embedding, stability_threshold=0.76, max_area_fraction=0.5))
    assert OBJECTS[1] not in kept


def test_a_limit_keeps_the_best(embedding):
    every = propose_masks(FlatSegmenter(), embedding, points_per_side=8)
    best = propose_masks(FlatSegmenter(), embedding, points_per_side=8, limit=1)
    assert len(every) > 1
    assert boxes(best) == boxes(every)[:1]


def test_nothing_sure_is_nothing_proposed(embedding):
    assert propose_masks(FlatSegmenter(), embedding, pred_iou_threshold=1.1) == []


def test_empty_masks_are_no_proposals():
    class Empty(FlatSegmenter):
        def _answer(self, values, prompt):
            nothing = np.zeros((3, *SIZE), bool)
            return Candidates(nothing, np.ones(3, np.float32), np.full((3, 8, 8), -9, np.float32))

    assert propose_masks(Empty(), Embedding({"values": np.zeros(SIZE)}, SIZE), stability_threshold=0) == []


@pytest.mark.parametrize(("nms_iou", "count"), [(0.55, 1), (0.65, 2)])
def test_of_two_masks_alike_the_surer_one_stays(nms_iou, count):
    """The masks share 60 of 100 pixels: an IoU of 0.6."""

    class Shifting(FlatSegmenter):
        def _answer(self, values, prompt):
            masks = np.zeros((2, *SIZE), bool)
            masks[0, 10:20, 10:18] = masks[1, 10:20, 12:20] = True
            logits = np.where(masks, 9, -9).astype(np.float32)
            return Candidates(masks, np.array([0.8, 0.9], np.float32), logits)

    proposals = propose_masks(
        Shifting(), Embedding({"values": np.zeros(SIZE)}, SIZE), points_per_side=3, nms_iou=nms_iou
    )
    assert boxes(proposals) == [(12, 10, 20, 20), (10, 10, 18, 20)][:count]


def test_a_thin_ring_around_an_object_does_not_suppress_it():
    """Equal boxes, different masks: only the pixels differ."""

    class Ring(FlatSegmenter):
        def _answer(self, values, prompt):
            masks = np.zeros((2, *SIZE), bool)
            masks[0, 10:50, 10:50] = True
            masks[1] = masks[0]
            masks[1, 11:49, 11:49] = False
            masks[0] &= ~masks[1]
            return Candidates(masks, np.array([0.8, 0.9], np.float32), np.where(masks, 9, -9).astype(np.float32))

    proposals = propose_masks(Ring(), Embedding({"values": np.zeros(SIZE)}, SIZE), points_per_side=2)
    assert boxes(proposals) == [(10, 10, 50, 50), (11, 11, 49, 49)]


def test_clicks_lie_in_the_middle_of_the_cells_and_go_in_batches(embedding):
    class Recording(FlatSegmenter):
        clicks = ()

        def _answer(self, values, prompt):
            self.clicks = (*self.clicks, tuple(prompt.points[0].tolist()))
            return super()._answer(values, prompt)

    segmenter = Recording()
    propose_masks(segmenter, embedding, points_per_side=2, batch=3)
    assert segmenter.clicks == ((30, 22.5), (90, 22.5), (30, 67.5), (90, 67.5))
    assert segmenter.batches == [3, 1]


def test_large_images_are_decoded_in_smaller_batches():
    class Large(FlatSegmenter):
        def _answer(self, values, prompt):
            return Candidates(np.zeros((0, 1, 1), bool), np.zeros(0, np.float32), np.zeros((0, 8, 8), np.float32))

    segmenter = Large()
    propose_masks(segmenter, Embedding({"values": np.zeros(1)}, (4000, 5000)), points_per_side=3)
    assert segmenter.batches == [4, 4, 1]
