"""Where an object is expected."""

import numpy as np
import pytest

from sam_backend.samples import Cropped
from sam_backend.video.motion import Motion


def square(left, top=20, side=20, size=(100, 200), cut=None):
    mask = np.zeros(size, bool)
    mask[top : top + side, left : left + side] = True
    if cut is not None:
        mask[:, cut:] = False
    return Cropped.of(mask)


def followed(lefts, **options):
    motion = Motion.of(square(lefts[0], **options))
    for left in lefts[1:]:
        motion = motion.at(square(left, **options))
    return motion


def test_an_object_is_expected_to_go_on_as_before():
    motion = followed([10, 16, 22, 28])
    assert motion.velocity == pytest.approx([6, 0])
    assert motion.expected == pytest.approx([44, 30])
    assert motion.moved().box == (34, 20, 54, 40)


def test_an_object_that_is_hidden_goes_on():
    motion = followed([10, 16, 22])
    for _ in range(5):
        motion = motion.hidden()
    assert motion.absent == 5
    assert motion.expected[0] == pytest.approx(32 + 6 * 6, abs=1)


def test_an_object_that_goes_behind_something_keeps_its_speed():
    motion = followed([40, 46, 52])
    for left in (58, 64, 70):
        motion = motion.at(square(left, cut=72))
    assert motion.velocity[0] == pytest.approx(6)
    assert motion.expected[0] == pytest.approx(86, abs=4)


def test_what_moves_out_of_the_frame_is_cut():
    motion = followed([100, 140, 165])
    assert motion.moved().box[2] == 200
    assert motion.box(motion.expected)[2] == 200
    assert not followed([100, 160, 179]).hidden().hidden().hidden().moved().area
    for path in ([150, 110, 70, 30], [10, 60, 110, 160]):
        gone = followed(path)
        for _ in range(20):
            gone = gone.hidden()
        assert not gone.moved().area


def test_a_prompt_places_it_anew_and_keeps_its_speed():
    before = followed([10, 16, 22])
    motion = Motion.of(square(100), before)
    assert motion.expected == pytest.approx([116, 30])


def test_an_object_that_stays_small_has_become_small():
    motion = followed([40, 46, 52])
    for _ in range(120):
        motion = motion.at(square(58, side=14))
    assert motion.area == pytest.approx(196, rel=0.2)
    assert motion.sides == pytest.approx([14, 14], rel=0.1)


def test_the_first_step_counts_also_where_less_of_the_object_is_outlined():
    motion = Motion.of(square(10)).at(square(16, side=16))
    assert motion.velocity[0] == pytest.approx(4)
    assert not motion.is_known
    assert followed([10, 16, 22]).is_known
