"""What a training sees of an image: masks stay on what they outline."""

from __future__ import annotations

import numpy as np
import pytest

from sam_backend.finetune.views import GRID, random_view, served_view
from sam_backend.samples import Object, Sample

GREY = (127, 127, 127)


def sample(height: int = 60, width: int = 90) -> Sample:
    """Return an image whose only bright pixels are those of its object, which has no symmetry."""
    mask = np.zeros((height, width), bool)
    mask[10:40, 20:30] = True
    mask[30:40, 30:60] = True
    return Sample("one.png", np.where(mask, 230, 20).astype(np.uint8)[..., None].repeat(3, 2), (Object(mask, "L"),))


def test_an_image_is_seen_as_it_is_served_with_its_long_side_as_long_as_the_encoder_takes() -> None:
    view = served_view(sample(), 512, GREY)
    assert (view.image[:341, :].max(), view.image[342:].min(), view.image[342:].max()) == (230, 127, 127)
    assert view.coverage.shape == (1, GRID, GRID)
    # 600 pixels of 60 x 90, in cells of 90 / 256 pixels.
    assert view.coverage.sum() == pytest.approx(600 * (256 / 90) ** 2, rel=0.03)


@pytest.mark.parametrize("seed", range(12))
def test_masks_stay_on_what_they_outline_however_the_image_is_turned_cut_and_lit(seed: int) -> None:
    view = random_view(np.random.default_rng(seed), sample(), 512, GREY)
    seen = view.image.astype(float).mean(2).reshape(GRID, 2, GRID, 2).mean((1, 3))
    inside, outside = view.coverage[0] > 0.99, (view.coverage[0] < 0.01) & (seen != 127)
    assert inside.sum() > 50
    assert seen[inside].mean() > seen[outside].mean() + 60


def test_views_differ_and_are_a_function_of_their_seed() -> None:
    first, again, other = (random_view(np.random.default_rng(seed), sample(), 256, GREY).image for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_a_mask_too_small_to_be_clicked_in_the_grid_is_no_target() -> None:
    mask = np.zeros((2000, 2000), bool)
    mask[0:8, 0:8] = True
    tiny = Sample("tiny.png", np.zeros((2000, 2000, 3), np.uint8), (Object(mask, "pit"),))
    assert len(served_view(tiny, 512, GREY).coverage) == 0
    # A window around it magnifies it.
    assert any(len(random_view(np.random.default_rng(seed), tiny, 512, GREY).coverage) for seed in range(4))
