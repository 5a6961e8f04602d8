"""The contrast of a mask with its ring, with values worked out by hand."""

import numpy as np
import pytest

from sam_backend.samples import Cropped
from sam_backend.segmenters.contrast import contrast_with_surroundings
from sam_backend.segmenters.image_reader import PixelReader


def square(size=(60, 60)):
    mask = np.zeros(size, bool)
    mask[20:40, 20:40] = True
    return mask


def contrast(inside, outside):
    """Return the contrast of a square with these grey levels, every other pixel's, on a ground with these."""
    mask, odd = square(), np.indices((60, 60)).sum(0) % 2
    grey = np.where(mask, np.take(inside, odd), np.take(outside, odd)).astype(np.uint8)
    return contrast_with_surroundings(PixelReader(grey), Cropped.of(mask))


def test_grey_levels_without_a_common_bin_differ_by_1_and_equal_ones_by_0():
    assert contrast([200, 200], [100, 100]) == 1
    assert contrast([100, 200], [100, 200]) == pytest.approx(0, abs=1e-3)


def test_half_of_the_pixels_in_a_bin_of_the_surroundings():
    """p is a half and a half, q is 1 and 0: (1/4 / 3/2 + 1/4 / 1/2) / 2 = 1/3."""
    assert contrast([100, 200], [100, 100]) == pytest.approx(1 / 3)


def test_a_colour_counts_as_much_as_a_grey_level():
    mask = square()
    image = np.full((60, 60, 3), 120, np.uint8)
    image[mask] = (160, 100, 110)
    assert contrast_with_surroundings(PixelReader(image), Cropped.of(mask)) == 1


def test_what_is_far_away_does_not_count():
    mask = square()
    grey = np.where(mask, 200, 100).astype(np.uint8)
    far = grey.copy()
    far[:10], far[50:] = 0, 255
    assert contrast_with_surroundings(PixelReader(far), Cropped.of(mask)) == pytest.approx(
        contrast_with_surroundings(PixelReader(grey), Cropped.of(mask))
    )


def test_a_mask_of_all_of_the_image_has_no_contrast():
    assert contrast_with_surroundings(PixelReader(np.zeros((9, 9), np.uint8)), Cropped.of(np.ones((9, 9), bool))) == 0
