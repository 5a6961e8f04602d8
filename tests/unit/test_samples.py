import numpy as np
import pytest

from sam_backend.samples import Cropped


@pytest.mark.parametrize("share", [0.0, 0.02, 1.0])
def test_a_cropped_mask_is_the_mask(share: float) -> None:
    mask = np.random.default_rng(0).random((13, 29)) < share
    cropped = Cropped.of(mask)
    np.testing.assert_array_equal(cropped.mask, mask)
    assert cropped.area == mask.sum()


def test_a_cropped_mask_keeps_nothing_of_the_rest_of_its_image() -> None:
    mask = np.zeros((2000, 3000), bool)
    mask[700:710, 1500:1520] = True
    cropped = Cropped.of(mask)
    assert cropped.part.shape == (10, 20)
    assert cropped.part.base is None, "a view would keep the whole mask alive"
    assert cropped.place == (slice(700, 710), slice(1500, 1520))
