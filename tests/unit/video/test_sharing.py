"""Which object gets which outline."""

import numpy as np

from sam_backend.samples import Cropped
from sam_backend.video.sharing import share


def squares(*lefts):
    masks = []
    for left in lefts:
        mask = np.zeros((20, 60), bool)
        mask[5:15, left : left + 10] = True
        masks.append(Cropped.of(mask))
    return masks


def chosen(scores, masks, quality=None):
    return share(np.array(scores, float), masks, np.ones(len(masks)) if quality is None else np.array(quality))


def test_two_objects_that_want_the_same_outline_share_so_that_both_are_likely():
    assert chosen([[0.9, 0.8], [0.85, 0.1]], squares(0, 30)) == [1, 0]


def test_outlines_of_one_thing_go_to_one_object_alone():
    assert chosen([[0.9, 0.9], [0.8, 0.8]], squares(0, 1)) == [0, None]


def test_an_outline_below_a_half_is_not_seen():
    assert chosen([[0.4, 0.45]], squares(0, 30)) == [None]
    assert chosen([[0.9, 0.2], [0.7, 0.3]], squares(0, 30)) == [0, None]


def test_of_the_outlines_of_a_thing_that_count_as_seen_the_best_one_is_taken():
    assert chosen([[0.9, 0.7, 0.2]], squares(0, 1, 2), [0.5, 0.8, 0.9]) == [1]


def test_nothing_to_share():
    assert chosen(np.zeros((2, 0)), []) == [None, None]
