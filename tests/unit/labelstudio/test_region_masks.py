"""One region of Label Studio's JSON: its mask, as Label Studio's own code writes it, and its label."""

import numpy as np
import pytest
from label_studio_sdk.converter.brush import encode_rle

from exported_regions import NOISE, OTHER_CORNERS, bitmask, box, brush, percent, polygon, region
from mask_files import FIRST, HEIGHT, SECOND, WIDTH, block
from sam_backend.errors import BrokenSampleError
from sam_backend.labelstudio.region_masks import region_label, region_mask, regions_of


@pytest.mark.parametrize("mask", [block(FIRST), NOISE], ids=["block", "noise"])
@pytest.mark.parametrize("make", [brush, bitmask])
def test_masks_come_back_to_the_pixel(mask, make):
    np.testing.assert_array_equal(region_mask(make(mask)), mask)


def test_of_a_brush_only_alpha_counts():
    pixels = np.zeros((HEIGHT, WIDTH, 4), int)
    pixels[..., :3] = 255
    pixels[FIRST][..., 3] = 128
    pixels[SECOND][..., 3] = 127

    np.testing.assert_array_equal(region_mask(region("brushlabels", rle=encode_rle(pixels.ravel()))), block(FIRST))


@pytest.mark.parametrize("entry", [polygon(), box(3, 2, 5, 6)], ids=["polygon", "rectangle"])
def test_shapes_that_enclose_pixels_cover_just_those(entry):
    np.testing.assert_array_equal(region_mask(entry), block(FIRST))


def test_a_rectangle_turns_in_pixels_about_its_corner():
    # Down by its width of 6, to the left by its height of 3, though per cents of width and height differ.
    np.testing.assert_array_equal(region_mask(box(13, 4, 6, 3, rotation=90)), block(np.s_[4:10, 10:13]))


@pytest.mark.parametrize("rotation", [0, 90])
def test_an_ellipse_has_radii_of_width_and_height_before_it_is_turned(rotation):
    shares = {"x": 16 / WIDTH * 100, "y": 50, "radiusX": 8 / WIDTH * 100, "radiusY": 3 / HEIGHT * 100}
    rows, columns = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    dx, dy = columns - 16, rows - 12
    along, across = (dy, dx) if rotation else (dx, dy)

    mask = region_mask(region("ellipselabels", **shares, rotation=rotation))

    np.testing.assert_array_equal(mask, (along / 8) ** 2 + (across / 3) ** 2 < 1)


def test_the_value_gives_the_shape_of_a_region_of_a_labels_tag():
    np.testing.assert_array_equal(region_mask(polygon(kind="labels")), block(FIRST))


@pytest.mark.parametrize(
    "entry",
    [
        region("keypointlabels", x=5.0, y=5.0, width=0.4),
        region("choices", choices=["bad"]),
        region("textarea", text=["deep"]),
        {"type": "relation", "from_id": "a", "to_id": "b", "direction": "right"},
    ],
    ids=lambda entry: entry["type"],
)
def test_what_has_no_area_has_no_mask(entry):
    assert region_mask(entry) is None


@pytest.mark.parametrize(
    ("backwards", "same"),
    [
        (box(8, 8, -5, -6), box(3, 2, 5, 6)),
        (
            region("ellipselabels", x=50, y=50, radiusX=-20, radiusY=9),
            region("ellipselabels", x=50, y=50, radiusX=20, radiusY=9),
        ),
    ],
    ids=["rectangle", "ellipse"],
)
def test_a_shape_of_a_negative_size_is_the_same_shape(backwards, same):
    assert region_mask(same).any()
    np.testing.assert_array_equal(region_mask(backwards), region_mask(same))


@pytest.mark.parametrize(
    "number", [[1], {"a": 1}, 10**5000, None, True, 7, ""], ids=lambda number: type(number).__name__
)
def test_ids_of_any_kind_keep_regions_apart_or_together(number):
    entries = [box(3, 2, 5, 6) | {"id": number}, box(3, 2, 5, 6) | {"id": "other"}]
    assert len(list(regions_of(entries))) == 2


def test_a_region_of_no_pixel_has_an_empty_mask():
    assert not region_mask(box(3, 2, 0, 0)).any()


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (polygon() | {"original_width": None}, "Region x1 is not as its format says at 'original_width'"),
        (region("polygonlabels", points=[[1, "a"]]), r"Region x1 is not as its format says at '0\.1'"),
        (region("rectanglelabels", x=1, width=2, height=3), "at 'y': Field required"),
        (region("ellipselabels", x=1, y=2, radiusX=3), "at 'radiusY'"),
        (region("brushlabels", rle="abc"), "list of bytes from 0 to 255"),
        (region("brushlabels", rle=[1, 2, 300]), "list of bytes from 0 to 255"),
        (
            region("brushlabels", rle=brush(NOISE)["value"]["rle"][:-200]),
            "x1 cannot be read. The brush mask breaks off",
        ),
        (brush(NOISE) | {"original_width": 99}, "holds 3072 bytes, but an image of 99 x 24 pixels needs 9504"),
        (region("bitmasklabels", imageDataURL="http://a/b.png"), "starts with 'data:image/png"),
        (
            region("bitmasklabels", imageDataURL="data:image/png;base64,AAAA"),
            "Region x1 cannot be read. The bitmask is not a readable",
        ),
        (bitmask(NOISE) | {"original_width": 99}, "bitmask has 32 x 24 pixels, but the image 99 x 24"),
        (bitmask(NOISE) | {"original_width": 9}, "bitmask has 32 x 24 pixels, but the image 9 x 24"),
        (box(3, 2, 5, 6) | {"original_width": 10**30}, "x1 is not as its format says at 'original_width'"),
        (box(3, 2, 5, 6) | {"original_width": 10**400}, "x1 is not as its format says at 'original_width'"),
        (
            polygon() | {"original_width": 10**6, "original_height": 10**6},
            "1000000 x 1000000 pixels; at most 400000000",
        ),
        (box(3, 2, 5, 6) | {"original_width": -5}, "at 'original_width'"),
        (box(3, 2, 5, 6) | {"original_width": float("nan")}, "at 'original_width'"),
        (region("rectanglelabels", x=10**400, y=1, width=2, height=3), "Region x1 is not as its format says at 'x'"),
        (region("rectanglelabels", x=1e300, y=1, width=2, height=3), "Region x1 is not as its format says at 'x'"),
        (region("ellipselabels", x=1, y=2, radiusX=3, radiusY=float("inf")), "at 'radiusY'"),
        (region("polygonlabels", points=[[1, 2]] * 1_000_001), "has 1000001 points; at most 1000000 are read"),
        (
            region("polygonlabels", points=[[0, 0], [50, 10**6]] * 10_000) | {"original_height": 10_000},
            "x1 has 20000 points that run across the image again and again",
        ),
        (region("polygonlabels", points={"x": 1}), "Region x1 is not as its format says"),
        (region("bitmasklabels", imageDataURL=10**5000), "starts with 'data:image/png"),
        (region("rectanglelabels", x=1, width=2, height=3) | {"id": "x" * 10**6}, "^Region x{80}… is not"),
    ],
)
def test_a_broken_region_is_named(entry, message):
    with pytest.raises(BrokenSampleError, match=message):
        region_mask(entry)


def test_a_label_is_found_under_whichever_tag_gave_it():
    assert region_label(polygon()) == "dent"
    assert region_label(polygon(kind="labels")) == "dent"
    assert region_label(region("rectanglelabels", None, rectanglelabels=["dent", "deep"])) == "dent, deep"
    assert region_label(polygon(label=None)) is None


def vector(points=OTHER_CORNERS, *, closed=True, curved=False):
    vertices = [
        {"id": f"v{number}", "x": x, "y": y, "prevPointId": f"v{number - 1}" if number else None, "isBezier": curved}
        for number, (x, y) in enumerate(percent(points))
    ]
    return region("vectorlabels", vertices=vertices, closed=closed)


def test_a_closed_vector_is_a_polygon_in_the_order_of_its_line():
    entry = vector()
    entry["value"]["vertices"].reverse()
    np.testing.assert_array_equal(region_mask(entry), block(SECOND))


@pytest.mark.parametrize("entry", [vector(closed=False), vector(curved=True)], ids=["open", "curved"])
def test_other_vectors_have_no_mask(entry):
    assert region_mask(entry) is None


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_an_image_that_was_turned_in_the_page_changes_no_mask(rotation):
    np.testing.assert_array_equal(region_mask(polygon() | {"image_rotation": rotation}), block(FIRST))


@pytest.mark.parametrize(
    "make",
    [
        brush, bitmask, lambda mask: box(3, 2, 5, 6), lambda mask: polygon(), lambda mask: vector(),
        lambda mask: region("ellipselabels", x=50, y=40, radiusX=20, radiusY=9, rotation=30),
    ],
    ids=["brush", "bitmask", "rectangle", "polygon", "vector", "ellipse"],
)  # fmt: skip
@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_every_kind_of_region_of_a_turned_image_is_upright(rotation, make):
    upright = make(block(FIRST))
    np.testing.assert_array_equal(region_mask({**upright, "image_rotation": rotation}), region_mask(upright))
