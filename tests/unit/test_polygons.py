import math
import tracemalloc

import numpy as np
import pytest
from skimage.measure import points_in_poly

from mask_files import FIRST, HEIGHT, WIDTH, block
from sam_backend.polygons import ellipse_mask, polygon_mask, rectangle_mask

SIZE = (HEIGHT, WIDTH)


def _centres() -> np.ndarray:
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    return np.stack([columns.ravel() + 0.5, rows.ravel() + 0.5], axis=1)


@pytest.mark.parametrize("seed", range(20))
def test_a_pixel_is_inside_where_its_centre_is(seed):
    rng = np.random.default_rng(seed)
    # Crossing itself and leaving the image on every side.
    points = rng.uniform(-10, 45, (int(rng.integers(3, 15)), 2))

    mask = polygon_mask(points, SIZE)

    np.testing.assert_array_equal(mask, points_in_poly(_centres(), points).reshape(SIZE))
    assert mask.any()


def test_corners_of_pixels_enclose_just_those_pixels():
    np.testing.assert_array_equal(polygon_mask([(3, 2), (8, 2), (8, 8), (3, 8)], SIZE), block(FIRST))


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("close", [False, True])
def test_neither_direction_nor_a_repeated_first_point_matters(reverse, close):
    points = [(3.2, 2.1), (20.7, 5.5), (11.5, 19.9)]
    points_again = points[::-1] if reverse else points

    mask = polygon_mask([*points_again, points_again[0]] if close else points_again, SIZE)

    np.testing.assert_array_equal(mask, polygon_mask(points, SIZE))


def test_a_centre_on_the_outline_belongs_on_the_left_and_the_top_only():
    expected = np.zeros(SIZE, bool)
    expected[2:8, 3:8] = True

    np.testing.assert_array_equal(polygon_mask([(3.5, 2.5), (8.5, 2.5), (8.5, 8.5), (3.5, 8.5)], SIZE), expected)


@pytest.mark.parametrize("seed", range(10))
def test_polygons_that_share_an_edge_cover_every_pixel_once(seed):
    a, b = np.random.default_rng(seed).integers(0, 2 * min(SIZE), (2, 2)) / 2
    # The cut from one side to the other, run through in either direction, at half pixels where ties are.
    left = [(0, 0), (a[0], 0), (b[0], HEIGHT), (0, HEIGHT)]
    right = [(b[0], HEIGHT), (a[0], 0), (WIDTH, 0), (WIDTH, HEIGHT)]

    assert (polygon_mask(left, SIZE) ^ polygon_mask(right, SIZE)).all()


@pytest.mark.parametrize("points", [[], [(3, 3)], [(3, 3), (9, 9)], [(3, 3), (9, 9), (3, 3)]])
def test_what_encloses_nothing_covers_nothing(points):
    assert not polygon_mask(points, SIZE).any()


def test_a_rectangle_turns_clockwise_about_its_corner():
    expected = np.zeros(SIZE, bool)
    # 90 degrees: its width now runs downwards, and its height to the left.
    expected[4:10, 10:13] = True

    np.testing.assert_array_equal(rectangle_mask((13, 4, 6, 3), SIZE, 90), expected)


def test_a_rectangle_is_half_open():
    np.testing.assert_array_equal(rectangle_mask((3, 2, 5, 6), SIZE), block(FIRST))


@pytest.mark.parametrize("rotation", [0, 30, 135])
def test_an_ellipse_is_where_centres_of_pixels_are_within_it(rotation):
    dx, dy = (_centres() - (17.3, 11.1)).T
    angle = math.radians(rotation)
    # y runs down, so a turn clockwise on the screen has a positive angle.
    along = dx * math.cos(angle) + dy * math.sin(angle)
    across = -dx * math.sin(angle) + dy * math.cos(angle)

    mask = ellipse_mask((17.3, 11.1), (12, 4), SIZE, rotation)

    np.testing.assert_array_equal(mask, ((along / 12) ** 2 + (across / 4) ** 2 < 1).reshape(SIZE))


def test_a_turned_ellipse_falls_to_the_right():
    mask = ellipse_mask((16, 12), (10, 2), SIZE, 45)

    assert mask[17, 21]
    assert not mask[6, 21]


@pytest.mark.parametrize("centre", [(-50, 5), (5, 200), (1e6, 1e6)])
def test_an_ellipse_beyond_the_image_covers_nothing(centre):
    assert not ellipse_mask(centre, (4, 4), SIZE).any()


def test_an_ellipse_without_a_radius_covers_nothing():
    assert not ellipse_mask((5, 5), (4, 0), SIZE).any()


def test_large_shapes_take_little_memory():
    size = (2000, 3000)
    zigzag = [(x, y) for x in range(0, 3000, 2) for y in (0, 2000)]
    for make in (lambda: polygon_mask(zigzag, size), lambda: ellipse_mask((1500, 1000), (1500, 1000), size, 3)):
        tracemalloc.start()
        mask = make()
        assert mask.any()
        assert tracemalloc.get_traced_memory()[1] < 20 * mask.size
        tracemalloc.stop()
