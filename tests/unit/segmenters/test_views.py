import numpy as np
import pytest

from sam_backend.samples import Cropped
from sam_backend.segmenters import Prompt
from sam_backend.segmenters.image_reader import PixelReader
from sam_backend.segmenters.views import View

SIZE = (300, 400)
WINDOW = (40, 24, 200, 181)
PIXELS = np.random.default_rng(0).integers(0, 255, SIZE, dtype=np.uint8)


def test_a_view_has_the_pixels_of_its_window():
    pixels = View(WINDOW, SIZE).read(PixelReader(PIXELS))
    assert np.array_equal(pixels[..., 0], PIXELS[24:181, 40:200])


@pytest.mark.parametrize("window", [WINDOW, (0, 0, 400, 300)], ids=["part", "whole"])
def test_a_large_window_is_seen_shrunk(window):
    smooth = np.add.outer(np.arange(300) // 3, np.arange(400) // 3).astype(np.uint8)
    view = View(window, SIZE, most=64)
    pixels = view.read(PixelReader(smooth))
    assert view.shrink in (4, 8)
    assert pixels.shape[:2] == view.size
    starts = zip(window[1::-1], view.size, strict=True)
    rows, columns = (start + np.arange(length) * view.shrink for start, length in starts)
    expected = smooth[np.ix_(rows, columns)].astype(int)
    assert np.abs(pixels[:-1, :-1, 0].astype(int) - expected[:-1, :-1]).max() <= view.shrink


def test_an_image_that_is_much_larger_is_read_shrunk_in_one_piece():
    class Shrunk(PixelReader):
        def part(self, part):
            raise AssertionError("no part")

    for window in ((0, 0, 400, 300), (100, 0, 400, 300)):
        view = View(window, SIZE, most=64)
        assert view.read(Shrunk(PIXELS)).shape[:2] == view.size


def test_prompts_move_into_the_view_and_negative_points_outside_are_left_out():
    view = View(WINDOW, SIZE, most=64)
    points = np.array([(44, 28), (390, 290), (60, 40)], np.float32)
    moved = view.prompt(Prompt(points, np.array([1, 0, 0]), box=np.array((48, 32, 56, 64), np.float32)))
    assert moved.points.tolist() == [[1, 1], [5, 4]]
    assert moved.labels.tolist() == [1, 0]
    assert moved.box.tolist() == [2, 2, 4, 10]


def test_what_was_drawn_moves_into_the_view_and_what_it_does_not_show_is_left_out():
    mask = np.zeros(SIZE, bool)
    mask[30:40, 60:80] = True
    seen = View(WINDOW, SIZE).prompt(Prompt(np.array([(65, 35)]), [1], drawn=Cropped.of(mask))).drawn
    assert (seen.box, seen.size) == ((20, 6, 40, 16), (157, 160))
    thin = np.zeros(SIZE, bool)
    thin[31, 60:80] = True
    assert View(WINDOW, SIZE, most=32).prompt(Prompt(np.array([(65, 31)]), [1], drawn=Cropped.of(thin))).drawn is None


@pytest.mark.parametrize("most", [2048, 64], ids=["native", "shrunk"])
def test_a_mask_that_is_seen_and_placed_is_the_mask(most):
    view = View(WINDOW, SIZE, most=most)
    mask = np.zeros(SIZE, bool)
    mask[60:120, 90:150] = True
    again = view.placed(view.seen(Cropped.of(mask))).mask
    assert np.count_nonzero(again ^ mask) <= (0 if view.shrink == 1 else 0.07 * mask.sum())


def test_a_placed_mask_stays_in_the_window():
    view = View(WINDOW, SIZE, most=64)
    placed = view.placed(np.ones(view.size, bool)).mask
    assert placed[24:181, 40:200].mean() > 0.99
    assert placed.sum() == placed[24:181, 40:200].sum()


@pytest.mark.parametrize(
    ("window", "pixel", "cuts"),
    [(WINDOW, (50, 0), True), (WINDOW, (50, 50), False), ((0, 0, 100, 100), (50, 0), False)],
    ids=["at an inner edge", "inside", "at the image's edge"],
)
def test_a_view_cuts_a_mask_at_edges_beyond_which_the_image_goes_on(window, pixel, cuts):
    view = View(window, SIZE)
    mask = np.zeros(view.size, bool)
    mask[pixel] = True
    assert view.cuts(mask) == cuts
