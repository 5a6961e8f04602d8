import numpy as np
import pytest

from sam_backend.pipeline.changes import Segment, fill, merge, refine, relabel, select
from sam_backend.pipeline.scene import ProposedBox, ProposedMask
from sam_backend.samples import Cropped

SIZE = (60, 100)


def mask(box, label="Pit", score=0.5):
    left, top, right, bottom = box
    return ProposedMask(Cropped(np.ones((bottom - top, right - left), bool), (top, left), SIZE), label, score)


def box(*sides, label="Pit", score=0.5):
    return ProposedBox(sides, label, score)


def test_boxes_become_masks_of_the_model_and_their_scores_are_multiplied(scene):
    (found,) = Segment()(scene, [box(10, 30, 20, 50), box(-20, -20, -1, -1), box(100, 0, 120, 10)])
    assert (found.mask.box, found.label) == ((10, 30, 20, 50), "Pit")
    assert found.score == pytest.approx(0.5 * 0.9)
    assert Segment(keep_score=True)(scene, [box(10, 30, 20, 50)])[0].score == 0.5


def test_another_model_makes_the_masks_of_a_step(scene):
    (found,) = Segment(model="nano")(scene, [box(60, 30, 90, 50)])
    assert np.count_nonzero(found.mask.mask[30:50, 60:90]) > 400
    assert Segment(model="nano").needs == frozenset()
    assert Segment().needs == {"box"}


def test_filled_boxes_end_at_the_border_of_the_image(scene):
    assert [one.mask.box for one in fill(scene, [box(-5, 50.4, 10.6, 70), box(100, 0, 120, 5)])] == [(0, 50, 11, 60)]


def test_a_refined_mask_keeps_its_label_and_its_score(scene):
    rough = mask((9, 29, 22, 51), "Crack", 0.7)
    (found,) = refine(scene, [rough])
    assert (found.label, found.score) == ("Crack", 0.7)
    assert found.mask.size == SIZE


def test_what_the_refiner_takes_for_something_else_stays_as_it_is(scene, monkeypatch):
    other = mask((60, 30, 90, 50))
    monkeypatch.setattr("sam_backend.pipeline.changes.best_masks", lambda *_: iter([(other.mask, 0.9)]))
    (found,) = refine(scene, [mask((10, 30, 20, 50))])
    assert found.mask.box == (10, 30, 20, 50)


def test_a_filter_keeps_what_fits_all_its_options(scene):
    small, large, pit = (
        mask((0, 0, 5, 4), score=0.9),
        mask((0, 0, 90, 60), score=0.8),
        mask((0, 0, 10, 10), "Crack", 0.3),
    )
    every = [pit, large, small]
    assert select(scene, every) == [small, large, pit]
    assert select(scene, every, min_area=21) == [large, pit]
    assert select(scene, every, max_area=100) == [small, pit]
    assert select(scene, every, max_area_share=0.5) == [small, pit]
    assert select(scene, every, min_score=0.5, limit=1) == [small]
    assert select(scene, every, labels=("Crack",)) == [pit]
    assert select(scene, every, without=("Crack",)) == [small, large]
    boxes = [box(0, 0, 5, 4), box(0, 0, 50, 40)]
    assert select(scene, boxes, min_area=21) == boxes[1:]


def test_labels_are_renamed(scene):
    found = relabel(scene, [mask((0, 0, 5, 5), "a"), mask((0, 0, 5, 5), "b")], names={"a": "Crack"})
    assert [one.label for one in found] == ["Crack", "b"]
    assert [one.label for one in relabel(scene, [box(0, 0, 5, 5, label=None)], names={}, others="Pit")] == ["Pit"]


def test_of_masks_that_share_much_the_best_one_is_kept(scene):
    low, high, other = (
        mask((0, 0, 20, 20), score=0.4),
        mask((0, 0, 20, 18), score=0.6),
        mask((0, 0, 20, 19), "Crack", 0.5),
    )
    assert merge(scene, [low, high, other]) == [high]
    assert merge(scene, [low, high, other], across_labels=False) == [high, other]
    assert merge(scene, [low, high], iou=0.95) == [high, low]
