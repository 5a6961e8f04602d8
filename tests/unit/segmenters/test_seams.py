import numpy as np
import pytest

from sam_backend.samples import Cropped
from sam_backend.segmenters.seams import TileMask, across_seams, tiles

SIZE = (100, 200)
LEFT, RIGHT = tiles(SIZE, side=112)[:2]


def seen(view, place, label="pit", score=0.5):
    mask = np.zeros(SIZE, bool)
    mask[place] = True
    local = view.seen(Cropped.of(mask))
    return TileMask(view.placed(local), label, score, view, view.cuts(local))


def places(masks):
    return [tuple(slice(*part.indices(999)[:2]) for part in one.mask.place) for one in masks]


@pytest.mark.parametrize(("size", "side"), [((100, 250), 64), ((50, 50), 64), ((64, 65), 64), ((1000, 64), 64)])
def test_tiles_cover_the_image_and_overlap(size, side):
    covered = np.zeros(size, int)
    for view in tiles(size, side):
        left, top, right, bottom = view.window
        assert right - left == min(side, size[1])
        assert bottom - top == min(side, size[0])
        covered[top:bottom, left:right] += 1
    assert covered.min() == 1
    assert (covered.max() > 1) == (max(size) > side)


def test_pieces_of_an_object_that_a_seam_cuts_are_joined():
    whole = np.s_[10:20, 40:190]
    found = across_seams([seen(LEFT, whole, score=0.4), seen(RIGHT, whole, score=0.7)])
    assert places(found) == [whole]
    assert found[0].score == 0.7


def test_an_object_that_two_tiles_show_is_found_once_with_its_higher_score():
    there = np.s_[10:20, 90:105]
    found = across_seams([seen(LEFT, there, score=0.4), seen(RIGHT, there, score=0.7)])
    assert [(one.score, one.view) for one in found] == [(0.7, RIGHT)]


def test_a_whole_object_is_preferred_to_a_piece_of_it():
    there = np.s_[10:20, 100:130]
    found = across_seams([seen(LEFT, there, score=0.9), seen(RIGHT, there, score=0.6)])
    assert places(found) == [there]


@pytest.mark.parametrize(
    ("one", "other", "labels"),
    [
        (np.s_[10:20, 40:190], np.s_[40:50, 90:190], ("pit", "pit")),
        (np.s_[10:20, 40:190], np.s_[10:20, 40:190], ("pit", "scratch")),
        (np.s_[10:20, 40:190], np.s_[19:60, 40:190], ("pit", "pit")),
    ],
    ids=["apart", "other label", "touching"],
)
def test_what_is_not_one_object_is_not_joined(one, other, labels):
    found = across_seams([seen(LEFT, one, labels[0]), seen(RIGHT, other, labels[1])])
    assert len(found) == 2


def test_masks_of_one_tile_stay_as_they_are():
    found = across_seams([seen(LEFT, np.s_[10:20, 40:60]), seen(LEFT, np.s_[10:20, 45:60])])
    assert len(found) == 2


def test_a_chain_of_pieces_over_many_tiles_is_one_object():
    size = (64, 1000)
    mask = np.zeros(size, bool)
    mask[30:34, 5:995] = True
    pieces = []
    for view in tiles(size, 64):
        local = view.seen(Cropped.of(mask))
        pieces.append(TileMask(view.placed(local), None, 0.5, view, view.cuts(local)))
    (found,) = across_seams(pieces)
    assert np.array_equal(found.mask.mask, mask)
