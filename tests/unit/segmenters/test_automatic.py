"""Masks without a prompt, from a segmenter with known answers: flat objects on a flat ground."""

from dataclasses import replace

import numpy as np
import pytest

from sam_backend.errors import BadRequestError
from sam_backend.segmenters import Candidates, Embedding
from sam_backend.segmenters.automatic import AutomaticSettings, propose_masks

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
    proposals = propose_masks(FlatSegmenter(), embedding, AutomaticSettings(points_per_side=8, max_area_fraction=0.5))
    assert boxes(proposals) == list(OBJECTS.values())
    assert [proposal.predicted_iou for proposal in proposals] == pytest.approx([0.9, 0.8])
    assert [proposal.stability for proposal in proposals] == [1, 1]
    for value, proposal in zip(OBJECTS, proposals, strict=True):
        np.testing.assert_array_equal(proposal.mask, embedding.arrays["values"] == value)


def test_the_background_goes_by_its_area(embedding):
    assert boxes(propose_masks(FlatSegmenter(), embedding))[0] == (0, 0, 120, 90)
    assert (0, 0, 120, 90) not in boxes(
        propose_masks(FlatSegmenter(), embedding, AutomaticSettings(max_area_fraction=0.5))
    )


def test_candidates_below_the_predicted_iou_go(embedding):
    kept = boxes(
        propose_masks(FlatSegmenter(), embedding, AutomaticSettings(pred_iou_thresh=0.85, max_area_fraction=0.5))
    )
    assert kept == [OBJECTS[1]]


def test_stability_is_the_iou_of_the_masks_at_both_thresholds(embedding):
    class Fading(FlatSegmenter):
        def _answer(self, values, prompt):
            answer = super()._answer(values, prompt)
            left, top, right, bottom = OBJECTS[1]
            answer.logits[0, top:bottom, left : left + (right - left) // 4] = 0
            return answer

    clicked = propose_masks(Fading(), embedding, AutomaticSettings(stability_score_thresh=0.7, max_area_fraction=0.5))
    assert clicked[0].stability == pytest.approx(0.75)
    kept = boxes(
        propose_masks(Fading(), embedding, AutomaticSettings(stability_score_thresh=0.76, max_area_fraction=0.5))
    )
    assert OBJECTS[1] not in kept


def test_a_limit_keeps_the_best(embedding):
    every = propose_masks(FlatSegmenter(), embedding, AutomaticSettings(points_per_side=8))
    best = propose_masks(FlatSegmenter(), embedding, AutomaticSettings(points_per_side=8), limit=1)
    assert len(every) > 1
    assert boxes(best) == boxes(every)[:1]


def test_nothing_sure_is_nothing_proposed(embedding):
    assert (
        propose_masks(FlatSegmenter(), embedding, AutomaticSettings(pred_iou_thresh=1.0, max_area_fraction=0.5)) == []
    )


def test_empty_masks_are_no_proposals():
    class Empty(FlatSegmenter):
        def _answer(self, values, prompt):
            nothing = np.zeros((3, *SIZE), bool)
            return Candidates(nothing, np.ones(3, np.float32), np.full((3, 8, 8), -9, np.float32))

    assert (
        propose_masks(Empty(), Embedding({"values": np.zeros(SIZE)}, SIZE), AutomaticSettings(stability_score_thresh=0))
        == []
    )


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
        Shifting(),
        Embedding({"values": np.zeros(SIZE)}, SIZE),
        AutomaticSettings(points_per_side=3, mask_nms_thresh=nms_iou),
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

    proposals = propose_masks(Ring(), Embedding({"values": np.zeros(SIZE)}, SIZE), AutomaticSettings(points_per_side=2))
    assert boxes(proposals) == [(10, 10, 50, 50), (11, 11, 49, 49)]


def test_clicks_lie_in_the_middle_of_the_cells_and_go_in_batches(embedding):
    class Recording(FlatSegmenter):
        clicks = ()

        def _answer(self, values, prompt):
            self.clicks = (*self.clicks, tuple(prompt.points[0].tolist()))
            return super()._answer(values, prompt)

    segmenter = Recording()
    propose_masks(segmenter, embedding, AutomaticSettings(points_per_side=2, points_per_batch=3))
    assert segmenter.clicks == ((30, 22.5), (90, 22.5), (30, 67.5), (90, 67.5))
    assert segmenter.batches == [3, 1]


def test_large_images_are_decoded_in_smaller_batches():
    class Large(FlatSegmenter):
        def _answer(self, values, prompt):
            return Candidates(np.zeros((0, 1, 1), bool), np.zeros(0, np.float32), np.zeros((0, 8, 8), np.float32))

    segmenter = Large()
    propose_masks(segmenter, Embedding({"values": np.zeros(1)}, (4000, 5000)), AutomaticSettings(points_per_side=3))
    assert segmenter.batches == [4, 4, 1]


class Answering(FlatSegmenter):
    """Answers every click with the same masks; the first one is the surest."""

    def __init__(self, *masks):
        super().__init__()
        self.masks = np.stack(masks)

    def _answer(self, values, prompt):
        iou = 0.9 - 0.1 * np.arange(len(self.masks), dtype=np.float32)
        return Candidates(self.masks, iou, np.where(self.masks, 9, -9).astype(np.float32))


def rectangle(left, top, right, bottom):
    mask = np.zeros(SIZE, bool)
    mask[top:bottom, left:right] = True
    return mask


def proposed(segmenter, **settings):
    return propose_masks(
        segmenter, Embedding({"values": np.zeros(SIZE)}, SIZE), AutomaticSettings(points_per_side=1, **settings)
    )


@pytest.mark.parametrize(("threshold", "count"), [(0.55, 1), (0.65, 2)])
def test_boxes_alike_are_duplicates_where_the_threshold_says_so(threshold, count):
    """The masks share no pixel; their boxes share 60 of 100 pixels."""
    one, other = rectangle(10, 10, 18, 20), rectangle(12, 10, 20, 20)
    one[10:20:2] = False
    other[11:20:2] = False
    one[10, 10] = one[10, 17] = other[19, 12] = other[19, 19] = True
    assert len(proposed(Answering(one, other), box_nms_thresh=threshold)) == count


def test_small_holes_are_filled_and_small_pieces_removed():
    wanted = rectangle(10, 10, 50, 40)
    spoiled = wanted.copy()
    spoiled[20:23, 20:23] = False  # a hole of 9 pixels
    spoiled[60:63, 60:63] = True  # a piece of 9 pixels
    (same,), (clean,) = (proposed(Answering(spoiled), min_mask_region_area=area) for area in (9, 10))
    np.testing.assert_array_equal(same.mask, spoiled)
    np.testing.assert_array_equal(clean.mask, wanted)


def test_a_bay_is_no_hole_and_the_largest_piece_stays():
    bay = rectangle(0, 10, 50, 40)
    bay[20:23, 45:50] = False
    (kept,) = proposed(Answering(bay), min_mask_region_area=100)
    np.testing.assert_array_equal(kept.mask, bay)
    small = rectangle(10, 10, 14, 14)
    (kept,) = proposed(Answering(small), min_mask_region_area=100)
    np.testing.assert_array_equal(kept.mask, small)


def test_of_two_masks_that_become_alike_the_one_that_did_not_change_stays():
    wanted = rectangle(10, 10, 30, 20)
    with_piece = wanted | rectangle(60, 60, 72, 72)
    with_piece[60, 72] = True
    (kept,) = proposed(Answering(with_piece, wanted), min_mask_region_area=150)
    assert kept.predicted_iou == pytest.approx(0.8)


def test_the_offset_of_the_stability_is_the_one_given(embedding):
    """The third mask has logits of 0.5."""
    settings = AutomaticSettings(max_area_fraction=0.5, mask_nms_thresh=1.0)
    counts = [
        len(propose_masks(FlatSegmenter(), embedding, replace(settings, stability_score_offset=offset)))
        for offset in (0.4, 0.6)
    ]
    assert counts[0] > counts[1]


@pytest.mark.parametrize(
    "wrong",
    [
        {"pred_iou_thresh": 1.1},
        {"stability_score_thresh": float("nan")},
        {"points_per_side": 0},
        {"box_nms_thresh": -0.1},
        {"min_mask_region_area": -1},
    ],
)
def test_a_value_out_of_its_range_is_named(wrong):
    (name,) = wrong
    with pytest.raises(BadRequestError, match=rf"^{name} is .*; got "):
        AutomaticSettings(**wrong)
