"""J, F and switches of identity by hand."""

import numpy as np
import pytest

from sam_evaluation.metrics.boundary import boundary_f
from sam_evaluation.metrics.region import iou
from sam_evaluation.metrics.video import identity_switches, region_and_boundary


def square(left, side=10):
    mask = np.zeros((30, 40), bool)
    mask[5 : 5 + side, left : left + side] = True
    return mask


def test_region_and_boundary_are_the_iou_and_daviss_boundary_measure():
    region, boundary = region_and_boundary(square(5), square(8))
    assert (region, boundary) == (iou(square(5), square(8)), boundary_f(square(5), square(8)))
    assert region == pytest.approx(70 / 130)


def test_an_object_that_is_rightly_not_there_counts_as_right():
    nothing = np.zeros((30, 40), bool)
    assert region_and_boundary(nothing, nothing) == (1.0, 1.0)
    assert region_and_boundary(square(5), nothing) == (0.0, 0.0)


def test_void_pixels_do_not_count():
    void = np.zeros((30, 40), bool)
    void[:, 15:] = True
    assert region_and_boundary(square(5, 14), square(5, 14) & ~void, void)[0] == 1.0


SEEN = np.array([[0.9, 0.0], [0.0, 0.8]])
CROSSED = SEEN[::-1]
NOTHING = np.zeros((2, 2))


@pytest.mark.parametrize(
    ("frames", "switches"),
    [
        ([SEEN, SEEN, SEEN], 0),
        # Both objects change their track, and change it back.
        ([SEEN, CROSSED], 2),
        ([SEEN, CROSSED, SEEN], 4),
        # However many frames they are hidden.
        ([SEEN, NOTHING, NOTHING, CROSSED], 2),
        ([SEEN, NOTHING, SEEN], 0),
        # One object is not found any more: a miss, no switch.
        ([SEEN, SEEN * [1, 0]], 0),
        # An IoU below a half is none.
        ([SEEN, CROSSED * 0.5], 0),
        ([NOTHING, CROSSED, CROSSED], 0),
    ],
)
def test_switches_of_identity(frames, switches):
    assert identity_switches(frames) == switches


def test_an_object_keeps_its_track_where_another_one_fits_better():
    near = np.array([[0.6, 0.55], [0.9, 0.0]])
    assert identity_switches([np.array([[0.9, 0.0], [0.0, 0.0]]), near]) == 0
