"""What a training sees of an image: masks stay on what they outline."""

from __future__ import annotations

import numpy as np
import pytest

from sam_backend.finetune.views import GRID, MIN_CELLS, View, native_window, random_view, served_views
from sam_backend.samples import Object, Sample

GREY = (127, 127, 127)


def sample(height: int = 60, width: int = 90) -> Sample:
    """Return an image whose only bright pixels are those of its object, which has no symmetry."""
    mask = np.zeros((height, width), bool)
    mask[10:40, 20:30] = True
    mask[30:40, 30:60] = True
    return Sample("one.png", np.where(mask, 230, 20).astype(np.uint8)[..., None].repeat(3, 2), (Object(mask, "L"),))


def served_view(sample: Sample, size: int, padding: tuple[int, int, int]) -> View:
    """Return the only view in which an image with large objects is served."""
    (view,) = served_views(sample, size, padding, 6, 3)
    return view


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


def pits(*squares: tuple[int, int, int], side: int = 1024) -> Sample:
    """Return a dark square image with bright squares: (row, column, length) in pixels."""
    image, objects = np.full((side, side, 3), 40, np.uint8), []
    for row, column, length in squares:
        mask = np.zeros((side, side), bool)
        mask[row : row + length, column : column + length] = True
        image[mask] = 220
        objects.append(Object(mask, "pit"))
    return Sample("pits.png", image, tuple(objects))


def test_an_object_too_small_in_the_whole_image_is_served_in_the_crop_of_the_second_look() -> None:
    (view,) = served_views(pits((300, 700, 5)), 512, GREY, 6, 3)
    # A cell of a crop of 256 pixels is a pixel.
    assert view.coverage[0].sum() == 25
    seen = view.image.astype(float).mean(2).reshape(GRID, 2, GRID, 2).mean((1, 3))
    assert seen[view.coverage[0] > 0.5].min() > seen[view.coverage[0] < 0.5].max()
    window = native_window(pits((300, 700, 5)).objects[0].cropped)
    assert (window[2] - window[0], window[3] - window[1]) == (256, 256)


def test_large_objects_are_served_in_the_whole_image_and_small_ones_beside_it_in_crops_they_share() -> None:
    sample = pits((10, 10, 5), (20, 30, 5), (600, 600, 100), (900, 900, 5))
    views = served_views(sample, 512, GREY, 6, 3)
    assert [view.objects for view in views] == [(2,), (0, 1), (3,)]


def test_small_objects_are_not_crowded_out_by_large_ones_nor_the_other_way_round() -> None:
    large = [(row, column, 60) for row in (100, 300, 500) for column in (100, 300, 500)]
    small = [(800, column, 5) for column in range(0, 1000, 20)]
    views = served_views(pits(*large, *small), 512, GREY, 6, 3)
    assert [len(view.objects) for view in views] == [3, 3]


def test_the_number_of_crops_is_bounded() -> None:
    views = served_views(pits(*((row, row, 5) for row in range(0, 1000, 300))), 512, GREY, 6, 2)
    assert [view.objects for view in views] == [(0,), (1,)]


@pytest.mark.parametrize("side", [600, 1024, 2000])
@pytest.mark.parametrize("seed", range(12))
def test_a_random_view_shows_an_object_however_small_it_is_in_the_image(seed: int, side: int) -> None:
    view = random_view(np.random.default_rng(seed), pits((300, 500, 3), side=side), 512, GREY)
    assert (view.coverage[0] >= 0.5).sum() >= MIN_CELLS


def test_a_long_thin_crack_is_shown_in_a_crop_on_it() -> None:
    mask = np.zeros((2000, 2000), bool)
    mask[1000, 100:1900] = True
    crack = Sample("crack.png", np.zeros((2000, 2000, 3), np.uint8), (Object(mask, "crack"),))
    (view,) = served_views(crack, 512, GREY, 6, 3)
    assert view.coverage[0].sum() == 256
    assert all(random_view(np.random.default_rng(seed), crack, 512, GREY).objects == (0,) for seed in range(8))


def test_an_object_of_fewer_pixels_than_cells_are_needed_is_no_target() -> None:
    assert served_views(pits((300, 500, 1)), 512, GREY, 6, 3) == []
    for seed in range(8):
        view = random_view(np.random.default_rng(seed), pits((300, 500, 1), (900, 20, 5)), 512, GREY)
        assert 1 in view.objects
