import numpy as np

from sam_backend.demo.prompting import correction


def square(left, top, right, bottom):
    mask = np.zeros((20, 30), bool)
    mask[top:bottom, left:right] = True
    return mask


def test_the_larger_error_is_corrected_where_it_is_deepest():
    truth = square(5, 5, 20, 10)
    assert correction(square(5, 5, 10, 10), truth) == ((12, 7), True)
    assert correction(square(5, 5, 27, 10), truth)[1] is False


def test_a_perfect_mask_is_confirmed_by_a_click_on_it():
    truth = square(5, 5, 20, 10)
    assert correction(truth, truth) == ((7, 7), True)
