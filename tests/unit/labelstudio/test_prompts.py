import logging
import math

import numpy as np
import pytest

from sam_backend.errors import BadRequestError
from sam_backend.labelstudio.bitmask import encode_bitmask
from sam_backend.labelstudio.config import LabelingConfig
from sam_backend.labelstudio.prompts import read_drawn
from sam_backend.labelstudio.rle import encode_rle

CONFIG = LabelingConfig.parse(
    '<View><Image name="image" value="$image"/>'
    '<BrushLabels name="brush" toName="image"><Label value="Crack"/><Label value="Hole"/></BrushLabels>'
    '<KeyPointLabels name="kp" toName="image" smart="true"><Label value="Crack"/></KeyPointLabels></View>'
)
SIZE = (100, 200)


def region(kind: str, value: dict, **extra) -> dict:
    frame = {"original_width": 200, "original_height": 100, "image_rotation": 0, "to_name": "image"}
    return {**frame, "from_name": kind, "type": kind, "value": value, **extra}


def click(x, y, **extra) -> dict:
    return region("keypointlabels", {"x": x, "y": y, "width": 0.4, "keypointlabels": ["Crack"]}, **extra)


def box(x, y, width, height, rotation=0, kind="rectangle") -> dict:
    return region(kind, {"x": x, "y": y, "width": width, "height": height, "rotation": rotation})


def prompt(*regions: dict, size=SIZE):
    return read_drawn(regions, CONFIG, max_pixels=10**8).to_prompt(size)


@pytest.mark.parametrize("nothing", [None, [], [region("choices", {"choices": ["ok"]})]], ids=str)
def test_where_nothing_was_drawn_there_is_nothing_to_say(nothing):
    assert read_drawn(nothing, CONFIG, max_pixels=10**8) is None


def test_clicks_keep_their_order_and_sign_and_one_without_sign_is_positive():
    got = prompt(click(50, 50, is_positive=True), click(10, 20, is_positive=False), click(75, 5))

    assert got.points.tolist() == [[100, 50], [20, 20], [150, 5]]
    assert got.labels.tolist() == [1, 0, 1]
    assert got.box is None


def test_a_click_on_the_far_edge_means_the_last_pixel():
    assert np.floor(prompt(click(100.0000001, 100)).points).tolist() == [[199, 99]]


def test_a_click_under_the_labels_of_two_controls_is_one_click():
    """As Label Studio 1.23 sends it where it keeps labels and a region was selected before; the mask's label wins."""
    place = {"x": 25, "y": 50, "width": 0.4, "labels": ["Crack"]}
    both = [
        region("keypointlabels", place | {"keypointlabels": ["Crack"]}, id="drawn", is_positive=False),
        region("brushlabels", place | {"brushlabels": ["Hole"]}, id="drawn", is_positive=False),
    ]
    drawn = read_drawn(both, CONFIG, max_pixels=10**8)
    assert drawn.to_prompt(SIZE).points.tolist() == [[50, 50]]
    assert drawn.to_prompt(SIZE).labels.tolist() == [0]
    assert (drawn.label, drawn.ids, drawn.control) == ("Hole", ("drawn",), "keypointlabels")


def test_points_and_a_rectangle_go_together():
    got = prompt(box(10, 20, 30, 40), click(25, 50, is_positive=False))

    assert got.box.tolist() == [20, 20, 80, 60]
    assert got.points.tolist() == [[50, 50]]


def test_of_several_rectangles_the_last_one_counts():
    assert prompt(box(0, 0, 10, 10), box(50, 50, 10, 10)).box.tolist() == [100, 50, 120, 60]


def test_a_rectangle_turns_clockwise_about_its_top_left_corner_in_pixels():
    # 40 x 10 px from (100, 50), turned by 90 degrees: 10 px to the left and 40 px down.
    np.testing.assert_allclose(prompt(box(50, 50, 20, 10, 90)).box, [90, 50, 100, 90], atol=1e-4)


def test_a_rectangle_turned_by_30_degrees_has_the_bounds_of_its_turned_corners():
    cosine, sine = math.cos(math.radians(30)), math.sin(math.radians(30))

    np.testing.assert_allclose(
        prompt(box(50, 50, 20, 10, 30)).box, [100 - 10 * sine, 50, 100 + 40 * cosine, 50 + 40 * sine + 10 * cosine],
        rtol=1e-6,
    )  # fmt: skip


def test_a_rectangle_that_reaches_out_of_the_image_is_cut_at_its_edge():
    assert prompt(box(90, -10, 30, 20)).box.tolist() == [180, 0, 200, 10]


def test_an_ellipse_is_the_box_of_its_turned_outline():
    # Semi-axes 40 and 10 px, turned by 90 degrees about the centre (100, 50).
    ellipse = region("ellipse", {"x": 50, "y": 50, "radiusX": 20, "radiusY": 10, "rotation": 90})

    np.testing.assert_allclose(prompt(ellipse).box, [90, 10, 110, 90], atol=0.01)


def test_a_polygon_is_the_box_around_its_points():
    assert prompt(region("polygon", {"points": [[10, 10], [40, 20], [20, 60]]})).box.tolist() == [20, 10, 80, 60]


def turned(rotation) -> np.ndarray:
    return prompt(box(25, 20, 25, 40, rotation)).drawn


def test_the_inside_of_an_outline_goes_in_beside_its_box():
    got = prompt(region("polygon", {"points": [[10, 10], [60, 10], [10, 60]]})).drawn
    assert got.area == pytest.approx(100 * 50 / 2, abs=100)
    assert got.box == (20, 10, 119, 60)

    ellipse = prompt(region("ellipse", {"x": 50, "y": 50, "radiusX": 20, "radiusY": 10, "rotation": 90})).drawn
    assert ellipse.area == pytest.approx(math.pi * 40 * 10, rel=0.01)

    assert turned(30).area == pytest.approx(50 * 40, rel=0.02)


def test_an_upright_box_and_a_line_have_nothing_inside_that_their_bounds_do_not_say():
    assert turned(0) is turned(90) is None
    assert prompt(region("vector", {"vertices": [{"x": 1, "y": 1}, {"x": 9, "y": 5}]})).drawn is None


def test_an_outline_over_the_whole_image_and_one_thinner_than_a_pixel_are_read():
    assert prompt(
        region("polygon", {"points": [[-5, -5], [50, -50], [300, -5], [300, 300], [-5, 300]]})
    ).drawn.part.all()
    thin = prompt(region("polygon", {"points": [[10, 10.2], [60, 10.2], [60, 10.3]]}))
    assert thin.drawn is None
    assert thin.box is not None


def test_strokes_go_in_together_unless_the_image_has_another_size():
    left, right = np.zeros(SIZE, bool), np.zeros(SIZE, bool)
    left[10:20, 10:20] = right[40:60, 100:150] = True
    strokes = [region("brush", {"rle": encode_rle(mask)}) for mask in (left, right)]

    np.testing.assert_array_equal(prompt(*strokes).drawn.mask, left | right)
    assert prompt(*strokes, size=(50, 100)).drawn is None


def test_a_prompt_knows_the_control_that_it_was_drawn_with():
    assert read_drawn([click(1, 1)], CONFIG, max_pixels=10**8).control == "keypointlabels"
    assert read_drawn([{**click(1, 1), "from_name": 7}], CONFIG, max_pixels=10**8).control == ""


@pytest.mark.parametrize("shape", ["brush", "bitmask"])
def test_a_stroke_becomes_positive_clicks_along_its_middle(shape):
    mask = np.zeros(SIZE, bool)
    mask[48:53, 20:180] = True
    value = {"format": "rle", "rle": encode_rle(mask)} if shape == "brush" else {"imageDataURL": encode_bitmask(mask)}

    got = prompt(region(shape, value))

    assert len(got.points) == 5
    assert got.labels.tolist() == [1] * 5
    assert np.allclose(got.points[:, 1], 50.5, atol=1)
    assert got.points[:, 0].min() < 30
    assert got.points[:, 0].max() > 170


def test_a_dab_of_the_brush_is_one_click_in_its_middle():
    rows, columns = np.mgrid[:100, :200]
    mask = (rows - 40) ** 2 + (columns - 150) ** 2 < 12**2

    got = prompt(region("brush", {"format": "rle", "rle": encode_rle(mask)}))

    np.testing.assert_allclose(got.points, [[150.5, 40.5]], atol=1)


def test_an_erased_stroke_beside_a_click_says_nothing():
    erased = region("brush", {"rle": encode_rle(np.zeros(SIZE, bool))})

    got = prompt(erased, click(50, 50))

    assert got.points.tolist() == [[100, 50]]
    assert got.drawn is None


@pytest.mark.parametrize(
    "drawn",
    [
        [click(1, 1)],
        [region("keypoint", {"x": 1, "y": 1, "labels": ["Crack"]})],
        [box(1, 1, 5, 5), region("labels", {"x": 1, "y": 1, "width": 5, "height": 5, "labels": ["Crack"]})],
        [click(1, 1), region("choices", {"choices": ["bad"]})],
    ],
    ids=["own labels", "labels in the value", "a result of the Labels tag", "a choice beside it"],
)
def test_the_chosen_label_is_found(drawn):
    assert read_drawn(drawn, CONFIG, max_pixels=10**8).label == "Crack"


def test_without_a_label_there_is_none():
    assert read_drawn([box(1, 1, 5, 5)], CONFIG, max_pixels=10**8).label is None


def test_an_unknown_label_is_refused_with_the_known_ones():
    with pytest.raises(BadRequestError, match=r"'Dent' is unknown.*'Crack', 'Hole'"):
        read_drawn([region("keypointlabels", {"x": 1, "y": 1, "keypointlabels": ["Dent"]})], CONFIG, max_pixels=10**8)


def test_the_image_of_a_list_is_remembered():
    assert read_drawn([click(1, 1, item_index=2)], CONFIG, max_pixels=10**8).item_index == 2


def test_another_original_size_is_warned_about_and_per_cents_hold_on_the_real_image(caplog):
    with caplog.at_level(logging.WARNING):
        got = prompt(click(50, 50), size=(1000, 1000))

    assert got.points.tolist() == [[500, 500]]
    assert "(100, 200)" in caplog.text
    assert "(1000, 1000)" in caplog.text


@pytest.mark.parametrize(
    ("drawn", "says"),
    [
        (click(101, 50), r"inside the image.*got x 101, y 50"),
        (click(50, -3), r"inside the image.*got x 50, y -3"),
        (click(float("nan"), 50), r"number for 'x'.*got nan"),
        (click("12", 50), r"number for 'x'.*got '12'"),
        (region("keypoint", {"x": 1}), r"number for 'y'.*got None"),
        (region("keypoint", None), r"needs a value.*got None"),
        (7, r"needs a value"),
        (box(10, 10, 0, 5), r"A rectangle needs a width and a height; it has none"),
        (box(10, 10, 5, None), r"number for 'height'.*got None"),
        (box(10, 10, 5, 5, float("inf")), r"number for 'rotation'.*got inf"),
        (region("ellipse", {"x": 5, "y": 5, "radiusX": 0, "radiusY": 3}), r"An ellipse needs a width and a height"),
        (region("polygon", {"points": [[5, 5], [9, 8]]}), r"A polygon needs at least three points; it has 2"),
        (region("polygon", {"points": [[5, 5], [9, 5], [7, 5]]}), r"A polygon needs a width and a height; it has none"),
        (region("brush", {"rle": encode_rle(np.zeros(SIZE, bool))}), r"The stroke has no pixels; draw it again"),
        (region("polygon", {"points": []}), r"A polygon needs"),
        (region("polygon", {"points": 7}), r"A polygon needs a list of points"),
        (region("brush", {"rle": [1, 2, 3]}), r"brush mask"),
        (region("brush", {"rle": []}, original_width=None), r"original_width and original_height"),
        (region("brush", {"rle": []}, original_width=10**9), r"original_width and original_height"),
        (region("bitmask", {}), r"data URL"),
        (click(1, 1, to_name="other"), r"drawn on 'other'"),
        (click(1, 1, to_name=["image"]), r"to_name should be the name of an Image tag; got \['image'\]"),
        (click(1, 1, to_name="x" * 10**6), r"drawn on 'x{80}…'"),
        (click(1, 1, item_index="1"), r"item_index should be the number.*got '1'"),
        (click(1, 1, item_index=True), r"item_index should be the number.*got True"),
        (click(10**400, 50), r"number for 'x'.*got 1000000"),
        (click(-(10**5000), 50), r"number for 'x'.*got a number of thousands of digits"),
        (box(10**400, 1, 1, 1), r"number for 'x'"),
        (box(1, 1, 1, 1, 10**400), r"number for 'rotation'"),
        (box(1e300, 1, 1e300, 1), r"number for 'x'"),
        (box(1, 1, [1], 1), r"number for 'width'.*got \[1\]"),
        (region("polygon", {"points": [[10**400, 1], [2, 3], [4, 4]]}), r"number for 'x'"),
        (region("polygon", {"points": [[0, 0]] * 100_000}), r"may have 10000 points as a prompt; it has 100000"),
        (region("vector", {"vertices": [[0, 0]]}), r"A vector needs a list of points"),
        (region("vector", {"vertices": [{"x": 1}]}), r"number for 'y'"),
        (region("brush", {"rle": []}, original_height=10**400), r"original_width and original_height"),
        (region("brush", {"rle": []}, original_width=20_000, original_height=20_000), r"up to 100000000 pixels"),
        (region("brush", {"rle": [10**400] * 10}), r"list of bytes"),
        (region("keypoint", {"x": 1, "y": 1, "labels": ["x" * 10**6]}), r"label 'x{80}…' is unknown"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_bad_prompt_is_refused_in_one_sentence(drawn, says):
    with pytest.raises(BadRequestError, match=says):
        read_drawn([drawn], CONFIG, max_pixels=10**8)


def test_a_box_outside_the_image_is_refused_with_its_pixels():
    with pytest.raises(BadRequestError, match=r"overlap the image of 200 x 100 pixels.*x 240.0 to 260.0"):
        prompt(box(120, 10, 10, 10))


def test_too_many_regions_clicks_or_strokes_are_refused():
    dab = np.zeros(SIZE, bool)
    dab[5:9, 5:9] = True
    stroke = region("brush", {"rle": encode_rle(dab)})
    for drawn, says in (
        ([click(1, 1)] * 1001, "1001 drawn regions"),
        ([click(1, 1)] * 201, "200 clicks"),
        ([stroke] * 17, "16 strokes"),
    ):
        with pytest.raises(BadRequestError, match=says):
            read_drawn(drawn, CONFIG, max_pixels=10**8)


@pytest.mark.parametrize(
    ("drawn", "same"),
    [
        (box(10, 60, 30, -40), box(10, 20, 30, 40)),
        (box(40, 20, -30, 40), box(10, 20, 30, 40)),
        (box(40, 60, -30, -40), box(10, 20, 30, 40)),
        (box(50, 50, 20, 10, None), box(50, 50, 20, 10)),
        (box(50, 60, 20, -10, 90), box(50, 60, 5, 40)),
        (
            region("ellipse", {"x": 50, "y": 50, "radiusX": -20, "radiusY": 10}),
            region("ellipse", {"x": 50, "y": 50, "radiusX": 20, "radiusY": 10}),
        ),
    ],
    ids=["upwards", "to the left", "both", "no rotation", "upwards and turned", "ellipse"],
)
def test_a_box_drawn_backwards_is_the_same_box(drawn, same):
    np.testing.assert_allclose(prompt(drawn).box, prompt(same).box, atol=1e-3)


def test_a_closed_vector_is_the_box_around_its_vertices():
    vertices = [{"id": str(i), "x": x, "y": y} for i, (x, y) in enumerate([(10, 10), (40, 20), (20, 60)])]
    assert prompt(region("vectorlabels", {"vertices": vertices, "closed": True})).box.tolist() == [20, 10, 80, 60]


def test_a_magic_wand_is_a_stroke():
    mask = np.zeros(SIZE, bool)
    mask[40:60, 90:110] = True
    assert len(prompt(region("magicwand", {"rle": encode_rle(mask)})).points) == 1


TWO_IMAGES = LabelingConfig.parse(
    '<View><Image name="front" valueList="$front"/><Image name="back" value="$back"/>'
    '<BrushLabels name="brush" toName="front, back"><Label value="Crack"/><Label value="Hole"/></BrushLabels></View>'
)


def test_only_what_was_drawn_on_the_image_of_the_last_prompt_counts():
    def drawn(*regions):
        got = read_drawn(regions, TWO_IMAGES, max_pixels=10**8)
        return got.target.image.name, got.item_index, [click.x for click in got.clicks], bool(got.box), got.label

    def named(x, label, **extra):
        return region("keypointlabels", {"x": x, "y": 50, "keypointlabels": [label]}, **extra)

    first, second, back = (
        named(1, "Crack", to_name="front", item_index=0),
        named(2, "Hole", to_name="front", item_index=1),
        named(3, "Hole", to_name="back"),
    )
    far = {**box(10, 10, 5, 5), "to_name": "front", "item_index": 0}
    hint = region("labels", {"x": 1, "labels": ["Crack"]}, to_name="front", item_index=0)
    assert drawn(first, second) == ("front", 1, [2.0], False, "Hole")
    assert drawn(second, first) == ("front", 0, [1.0], False, "Crack")
    assert drawn(first, far, back, hint) == ("back", None, [3.0], False, "Hole")
    assert drawn(first, second, far) == ("front", 0, [1.0], True, "Crack")
    # A region without an item index is on the first image of the list.
    assert drawn(named(4, "Hole", to_name="front"), second, first) == ("front", 0, [4.0, 1.0], False, "Crack")


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_what_was_drawn_while_the_image_was_turned_is_in_upright_coordinates(rotation):
    mask = np.zeros(SIZE, bool)
    mask[48:53, 20:180] = True
    drawn = (click(75, 5), box(10, 20, 30, 40), region("brush", {"rle": encode_rle(mask)}))
    turned = [{**one, "image_rotation": rotation} for one in drawn]

    got, upright = prompt(*turned), prompt(*drawn)

    np.testing.assert_array_equal(got.points, upright.points)
    np.testing.assert_array_equal(got.box, upright.box)
    assert read_drawn(turned, CONFIG, max_pixels=10**8).rotation == rotation
    assert read_drawn([click(1, 1, image_rotation=10**400)], CONFIG, max_pixels=10**8).rotation == 0


def test_the_middle_of_a_stroke_on_a_large_image_is_found_on_the_stroke():
    size = (6000, 8000)
    mask = np.zeros(size, bool)
    mask[3000:3001, 100:7900] = True
    mask[100:5900, 7899:7900] = True

    frame = {"original_width": 8000, "original_height": 6000}
    points = prompt(region("brush", {"rle": encode_rle(mask)}, **frame), size=size).points

    assert len(points) == 5
    assert all(mask[int(y), int(x)] for x, y in points)
    assert np.ptp(points[:, 0]) > 7000
