import cv2
import numpy as np
import pytest

from sam_backend.labelstudio.outlines import bounding_rectangle, fitted_ellipse, rings, without_specks
from sam_backend.polygons import polygon_mask
from sam_backend.samples import Cropped

SIZE = (200, 300)


def blank() -> np.ndarray:
    return np.zeros(SIZE, np.uint8)


def pixels(ring: list) -> np.ndarray:
    """The ring's points, xy in pixels."""
    return np.array(ring) / 100 * (SIZE[1], SIZE[0])


def enclosed(ring: list) -> np.ndarray:
    """The pixels whose centres a ring encloses, drawn eight times larger."""
    fine = np.zeros((SIZE[0] * 8, SIZE[1] * 8), np.uint8)
    cv2.fillPoly(fine, [np.round(pixels(ring) * 8).astype(np.int32)], 1)
    return fine[4::8, 4::8].astype(bool)


def iou(a: np.ndarray, b: np.ndarray) -> float:
    return np.count_nonzero(a & b) / np.count_nonzero(a | b)


def test_the_ring_of_a_rectangle_runs_along_the_edges_of_its_pixels():
    mask = blank()
    mask[20:60, 30:100] = 1

    (ring,) = rings(Cropped.of(mask.astype(bool)))

    assert sorted(pixels(ring).round(2).tolist()) == [[30, 20], [30, 60], [100, 20], [100, 60]]


@pytest.mark.parametrize("edge", [(0, 0), (199, 299)], ids=["first", "last"])
def test_a_single_pixel_encloses_its_area(edge):
    mask = blank()
    mask[edge] = 1

    (ring,) = rings(Cropped.of(mask.astype(bool)))

    np.testing.assert_array_equal(enclosed(ring), mask)


def drawn(name: str) -> np.ndarray:
    mask = blank()
    if name == "disc":
        cv2.circle(mask, (150, 100), 60, 1, -1)
    elif name == "thin crack":
        cv2.polylines(mask, [np.array([(20, 30), (90, 70), (160, 60), (280, 170)])], False, 1, 2)
    elif name == "one pixel wide":
        cv2.line(mask, (20, 150), (250, 40), 1, 1)
    else:
        noise = cv2.GaussianBlur(np.random.default_rng(3).random(SIZE).astype(np.float32), (0, 0), 9)
        mask[:] = noise > np.quantile(noise, 0.8)
        _, labels, stats, _ = cv2.connectedComponentsWithStats(mask)
        mask[:] = labels == 1 + np.argmax(stats[1:, cv2.CC_STAT_AREA])
    return mask.astype(bool)


@pytest.mark.parametrize("name", ["disc", "thin crack", "one pixel wide", "blob"])
def test_a_ring_stays_within_a_pixel_of_the_exact_outline_and_close_to_its_mask(name):
    mask = drawn(name)

    (ring,) = rings(Cropped.of(mask))

    (exact,) = rings(Cropped.of(mask), 0)
    np.testing.assert_array_equal(enclosed(exact), mask)
    outline = pixels(ring).astype(np.float32)
    beyond = [abs(cv2.pointPolygonTest(outline, point, measureDist=True)) for point in pixels(exact).tolist()]
    assert max(beyond) <= 1.001
    assert iou(enclosed(ring), mask) >= 0.89


def test_a_smooth_outline_needs_few_points():
    (ring,) = rings(Cropped.of(drawn("disc")))

    assert len(ring) <= 40


def test_each_component_has_its_ring_the_largest_first():
    mask = blank()
    mask[10:20, 10:20] = 1
    mask[50:90, 50:90] = 1

    assert [enclosed(ring).sum() for ring in rings(Cropped.of(mask.astype(bool)))] == [1600, 100]


def test_a_larger_tolerance_leaves_fewer_points_and_the_ring_is_still_close_to_its_mask():
    for name, factor in (("blob", 1.5), ("thin crack", 1)):
        mask = drawn(name)
        (fine,), (coarse,) = rings(Cropped.of(mask), 1), rings(Cropped.of(mask), 6)

        assert len(coarse) <= len(fine) / factor
        assert iou(enclosed(coarse), mask) >= 0.89


def test_a_small_hole_is_filled():
    mask = blank()
    mask[20:60, 30:100] = 1
    mask[30:40, 50:60] = 0

    (ring,) = rings(Cropped.of(mask.astype(bool)))

    assert enclosed(ring).sum() == 40 * 70


def test_a_large_hole_stays_and_what_lies_in_it_has_a_ring_of_its_own():
    mask = blank()
    mask[20:120, 20:140] = 1
    mask[40:100, 40:120] = 0
    mask[60:80, 60:90] = 1
    mask[22:26, 22:26] = 0  # small: filled
    mask[102:118, 25:135] = 0  # as the other one, more than a tenth of what the outer ring encloses

    outer, island = rings(Cropped.of(mask.astype(bool)), 0)

    mask[22:26, 22:26] = 1
    np.testing.assert_array_equal(polygon_mask(pixels(outer), SIZE) | polygon_mask(pixels(island), SIZE), mask)
    assert polygon_mask(pixels(island), SIZE).sum() == 600


def test_of_many_holes_the_small_ones_are_filled_as_long_as_the_ring_is_close_to_its_mask():
    mask = blank()
    mask[:100, :100] = 1
    for row in range(5, 95, 10):
        mask[row : row + 4, 5:95] = 0  # 3.6 % each

    (ring,) = rings(Cropped.of(mask.astype(bool)), 0)

    assert polygon_mask(pixels(ring), SIZE).sum() == 10_000 - 7 * 360


def test_specks_go_and_parts_of_the_object_stay():
    mask = blank()
    mask[20:60, 20:60] = 1  # 1600 pixels
    mask[100:104, 100:104] = 1  # 1 % of them
    mask[150, 150:165] = 1  # less
    clean = without_specks(Cropped.of(mask.astype(bool))).mask

    assert clean[100, 100]
    assert clean.sum() == 1616


def test_the_rectangle_is_tight_and_half_open():
    mask = blank()
    mask[20:60, 30:100] = 1
    box = bounding_rectangle(Cropped.of(mask.astype(bool)))

    assert (box.x, box.y) == pytest.approx((10, 10))
    assert (box.width, box.height) == pytest.approx((70 / 3, 20))


@pytest.mark.parametrize("rotation", [0, 25, 44, 46, 90, 120, 179])
def test_an_ellipse_gets_its_own_axes_back_at_any_turn(rotation):
    mask = blank()
    cv2.ellipse(mask, (140, 90), (60, 25), rotation, 0, 360, 1, -1)

    fit = fitted_ellipse(Cropped.of(mask.astype(bool)))

    redrawn = blank()
    radii = fit.radius_x * SIZE[1] / 100, fit.radius_y * SIZE[0] / 100
    centre = fit.x * SIZE[1] / 100 - 0.5, fit.y * SIZE[0] / 100 - 0.5
    cv2.ellipse(redrawn, (tuple(centre), tuple(2 * r for r in radii), fit.rotation), 1, -1)
    assert iou(redrawn.astype(bool), mask.astype(bool)) > 0.96
    assert sorted(radii) == pytest.approx([25, 60], abs=1)
    assert fit.rotation % 360 <= 46 or fit.rotation % 360 >= 314


def test_the_ellipse_of_a_full_mask_is_no_larger_than_label_studio_allows():
    fit = fitted_ellipse(Cropped.of(np.ones(SIZE, bool)))

    assert (fit.x, fit.y, fit.radius_x, fit.radius_y) == pytest.approx((50, 50, 50, 50))


def test_the_ellipse_of_a_single_pixel_is_about_its_size():
    mask = blank()
    mask[50, 150] = 1
    fit = fitted_ellipse(Cropped.of(mask.astype(bool)))

    assert (fit.x, fit.y) == pytest.approx((150.5 / 3, 50.5 / 2))
    assert fit.radius_x * 3 == pytest.approx(0.577, abs=0.01)


def test_of_very_many_holes_the_largest_are_cut_out():
    mask = np.ones(SIZE, bool)
    mask[1::4, 1::5] = mask[1::4, 2::5] = mask[1::4, 3::5] = False
    mask[86:113, 81:110] = True
    mask[90:110, 85:105] = False

    (ring,) = rings(Cropped.of(mask), 0)

    inside = polygon_mask(pixels(ring), SIZE)
    assert not inside[90:110, 85:105].any()
    assert 60_000 - inside.sum() == 400 + 99 * 3
