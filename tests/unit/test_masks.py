import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt

from sam_backend.masks import deepest_point, distances_to_outside, mask_box, mask_depths, mask_iou


def square(left, top, right, bottom):
    mask = np.zeros((20, 30), bool)
    mask[top:bottom, left:right] = True
    return mask


def test_the_box_is_half_open_and_an_empty_mask_has_none():
    assert mask_box(square(3, 4, 9, 6)) == (3, 4, 9, 6)
    assert mask_box(square(0, 0, 0, 0)) is None
    assert mask_box(np.zeros((0, 5), bool)) is None


def test_the_deepest_point_is_in_the_middle_of_the_widest_part():
    assert deepest_point(square(2, 3, 9, 10) | square(9, 6, 28, 7)) == (5, 6)


def test_the_border_of_the_image_is_an_edge():
    assert deepest_point(np.ones((7, 5), bool))[0] == 2


def test_an_empty_mask_has_no_deepest_point():
    with pytest.raises(ValueError, match="no deepest point"):
        deepest_point(square(0, 0, 0, 0))


def test_depths_are_distances_to_the_nearest_pixel_outside():
    depths, corner = mask_depths(square(2, 3, 5, 6))
    assert corner == (2, 3)
    assert depths.tolist() == [[1, 1, 1], [1, 2, 1], [1, 1, 1]]


@pytest.mark.parametrize("side", [61, 300, 1500])
def test_distances_are_those_of_scipy_to_the_last_bit(side):
    inside = np.random.default_rng(0).random((side, side)) > 100 / side**2
    expected = distance_transform_edt(inside).astype(np.float32)
    assert np.array_equal(distances_to_outside(inside.view(np.uint8)), expected)


def test_iou_is_the_shared_part_of_both_and_one_for_two_empty_masks():
    assert mask_iou(square(0, 0, 10, 10), square(5, 0, 15, 10)) == 50 / 150
    assert mask_iou(square(0, 0, 0, 0), square(0, 0, 0, 0)) == 1
