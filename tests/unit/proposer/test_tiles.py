"""A proposer's answer for a whole image is made of tiles without a seam."""

import numpy as np
import pytest

from sam_backend.proposer.tiles import STRIDE, TILE, shares_of


@pytest.mark.parametrize("size", [(1, 1), (40, 500), (512, 512), (700, 1100)])
def test_every_pixel_is_answered_by_tiles_that_the_net_takes(size):
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    seen = []

    def brightness(part):
        seen.append(part.shape[:2])
        return part.transpose(2, 0, 1).astype(np.float32)

    np.testing.assert_allclose(shares_of(image, brightness), image.transpose(2, 0, 1), atol=1e-3)
    assert all(side % STRIDE == 0 and side <= TILE for shape in seen for side in shape)


def test_what_a_net_sees_badly_at_a_tiles_border_is_taken_from_the_neighbouring_tile():
    def wrong_at_the_border(part):
        answer = np.ones((1, *part.shape[:2]), np.float32)
        answer[:, :, :4] = answer[:, :, -4:] = 0
        return answer

    shares = shares_of(np.zeros((300, 1000, 3), np.uint8), wrong_at_the_border)
    assert shares.min() > 0.9
