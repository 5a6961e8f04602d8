"""The contrast of a mask with its ring, with values worked out by hand."""

import cv2
import numpy as np
import pytest

from sam_backend.samples import Cropped
from sam_backend.segmenters.contrast import contrast_with_surroundings
from sam_backend.segmenters.image_reader import PixelReader


def square(size=(60, 60)):
    mask = np.zeros(size, bool)
    mask[20:40, 20:40] = True
    return mask


def test_two_even_greys_differ_by_their_lightness():
    mask = square()
    grey = np.where(mask, 200, 100).astype(np.uint8)
    lightness = cv2.cvtColor(np.array([[[200] * 3, [100] * 3]], np.uint8), cv2.COLOR_RGB2LAB)[0, :, 0].astype(float)
    assert contrast_with_surroundings(PixelReader(grey), Cropped.of(mask)) == pytest.approx(abs(np.diff(lightness))[0])


def test_noise_on_both_sides_is_the_unit():
    """Means 30 levels of lightness apart, each with a standard deviation of 10: d' is 3."""
    mask = square()
    lab = np.full((60, 60, 3), 128, np.uint8)
    lab[..., 0] = np.where(mask, 150, 120)
    lab[..., 0] += np.where(np.indices((60, 60)).sum(0) % 2, 10, -10).astype(np.int8).view(np.uint8)
    image = cv2.cvtColor(lab, cv2.COLOR_LAB2RGB)
    assert contrast_with_surroundings(PixelReader(image), Cropped.of(mask)) == pytest.approx(3, abs=0.1)


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
