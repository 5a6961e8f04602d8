import numpy as np

from sam_backend.demo.prompting import correction
from sam_backend.masks import deepest_point, mask_iou


def square(left, top, right, bottom):
    mask = np.zeros((20, 30), bool)
    mask[top:bottom, left:right] = True
    return mask


def test_a_click_goes_to_the_middle_of_the_widest_part():
    mask = square(2, 3, 9, 10) | square(9, 6, 28, 7)
    assert deepest_point(mask) == (5, 6)


def test_the_border_of_the_image_is_an_edge():
    assert deepest_point(np.ones((7, 5), bool))[0] == 2


def test_the_larger_error_is_corrected_where_it_is_deepest():
    truth = square(5, 5, 20, 10)
    assert correction(square(5, 5, 10, 10), truth) == ((12, 7), True)
    assert correction(square(5, 5, 27, 10), truth)[1] is False


def test_iou_is_the_shared_part_of_both():
    assert mask_iou(square(0, 0, 10, 10), square(5, 0, 15, 10)) == 50 / 150
    assert mask_iou(square(0, 0, 0, 0), square(0, 0, 0, 0)) == 0
