import base64
import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mask_files import FIRST, HEIGHT, SECOND, WIDTH, block, save, surface
from sam_evaluation.datasets.labelme import Labelme
from sam_evaluation.errors import BrokenSampleError, EvaluationError

RING = [[3, 2], [8, 2], [8, 8], [3, 8]]
OTHER_RING = [[20, 12], [28, 12], [28, 18], [20, 18]]


def _png(pixels: np.ndarray) -> str:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def _shape(points: list, kind: str = "polygon", **fields: object) -> dict:
    return {"label": "dent", "points": points, "shape_type": kind, "group_id": None, "flags": {}, **fields}


def _write(folder: Path, *shapes: dict, **fields: object) -> Labelme:
    content = {"version": "5.5.0", "flags": {}, "shapes": shapes, "imagePath": "a.png", "imageData": None}
    content |= {"imageHeight": HEIGHT, "imageWidth": WIDTH} | fields
    (folder / "a.json").write_text(json.dumps(content))
    return Labelme(folder)


def _objects(folder: Path, *shapes: dict) -> tuple:
    save(folder / "a.png", surface())
    return _write(folder, *shapes).load("a.json").objects


@pytest.mark.parametrize(
    "shape",
    [
        _shape(RING),
        {"label": "dent", "points": RING},
        _shape([[8, 2], [3, 8]], "rectangle"),
        _shape([[3, 2], [7, 7]], "mask", mask=_png(np.ones((6, 5), np.uint8))),
    ],
    ids=["polygon", "no type", "rectangle", "mask"],
)
def test_every_shape_with_an_area_gives_its_pixels(tmp_path, shape):
    (obj,) = _objects(tmp_path, shape)

    assert obj.label == "dent"
    np.testing.assert_array_equal(obj.mask, block(FIRST))


def test_a_circle_is_given_by_its_centre_and_a_point_on_it(tmp_path):
    rows, columns = np.mgrid[:HEIGHT, :WIDTH] + 0.5

    (obj,) = _objects(tmp_path, _shape([[16, 12], [19, 16]], "circle"))

    np.testing.assert_array_equal(obj.mask, np.hypot(columns - 16, rows - 12) < 5)


def test_a_mask_is_where_its_png_is_not_zero(tmp_path):
    part = np.random.default_rng(0).integers(0, 2, (10, 12)).astype(np.uint8)
    expected = np.zeros((HEIGHT, WIDTH), bool)
    expected[14:, 20:] = part > 0

    (obj,) = _objects(tmp_path, _shape([[20, 14], [31, 23]], "mask", mask=_png(part)))

    np.testing.assert_array_equal(obj.mask, expected)


@pytest.mark.parametrize("kind", ["line", "linestrip", "point", "points"])
def test_lines_and_points_have_no_area_and_are_left_out(tmp_path, kind):
    assert _objects(tmp_path, _shape(RING, kind)) == ()


def test_shapes_of_one_group_and_label_are_one_object(tmp_path):
    objects = _objects(
        tmp_path, _shape(RING, group_id=1), _shape(OTHER_RING, group_id=1), _shape(RING, group_id=1, label="scratch")
    )

    assert [obj.label for obj in objects] == ["dent", "scratch"]
    np.testing.assert_array_equal(objects[0].mask, block(FIRST) | block(SECOND))


def test_shapes_without_a_group_are_objects_of_their_own(tmp_path):
    objects = _objects(tmp_path, _shape(RING), _shape(OTHER_RING))

    np.testing.assert_array_equal(objects[0].mask, block(FIRST))
    np.testing.assert_array_equal(objects[1].mask, block(SECOND))


def test_small_shapes_are_left_out(tmp_path):
    assert _objects(tmp_path, _shape([[1, 1], [4, 4]], "rectangle")) == ()


def test_the_image_may_be_in_another_folder_or_inside_the_file(tmp_path):
    save(tmp_path / "images/a.png", surface(1))

    elsewhere = _write(tmp_path, imagePath="images\\a.png").load("a.json")
    np.testing.assert_array_equal(elsewhere.image, surface(1))

    inside = _write(tmp_path, imageData=_png(surface(2))).load("a.json")
    np.testing.assert_array_equal(inside.image, surface(2))


def test_names_are_the_files_of_all_folders(tmp_path):
    for name in ("b/2.json", "a/1.json", "3.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()

    assert Labelme(tmp_path).names() == ["3.json", "a/1.json", "b/2.json"]


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        (_shape(RING[:3], "rectangle"), "Shape 1 of .* is a rectangle, which needs 2 or 4 points; it has 3"),
        (_shape([[3, 3]], "circle"), "is a circle, which needs 2 points; it has 1"),
        (_shape(RING, "spline"), "is a 'spline'; the known types are polygon"),
        (_shape([[3, 2], [7, 7]], "mask"), "The mask inside shape 1 .* is not a readable PNG"),
        (_shape([[3, 2], [7, 7]], "mask", mask="#"), "is not valid base64"),
        (_shape([[30, 2], [34, 7]], "mask", mask=_png(np.ones((6, 5), np.uint8))), "5 x 6 pixels at x 30, y 2, beyond"),
        (_shape([[0, 0], [7, 7]], "mask", mask=_png(np.ones((6, 99), np.uint8))), "99 x 6 pixels; at most 32 x 24"),
        (_shape([[3, 2, 1]]), r"Shape 1 of .* at 'points"),
        ({"points": RING}, r"Shape 1 of .* at 'label': Field required"),
    ],
)
def test_a_broken_shape_is_named(tmp_path, shape, message):
    with pytest.raises(BrokenSampleError, match=f"(?i){message}"):
        _objects(tmp_path, shape)


def test_a_broken_file_or_image_is_reported(tmp_path):
    with pytest.raises(BrokenSampleError, match=r"a\.png cannot be read"):
        _write(tmp_path).load("a.json")
    with pytest.raises(BrokenSampleError, match="has no image; it needs imagePath or imageData"):
        _write(tmp_path, imagePath="").load("a.json")
    with pytest.raises(BrokenSampleError, match=r"The image inside .* is not an image"):
        _write(tmp_path, imageData="aaaa").load("a.json")

    save(tmp_path / "a.png", surface()[1:])
    with pytest.raises(BrokenSampleError, match="is 32 x 23 pixels, but was annotated at 32 x 24"):
        _write(tmp_path).load("a.json")

    (tmp_path / "a.json").write_text('{"shapes": [')
    with pytest.raises(BrokenSampleError, match="not valid JSON"):
        Labelme(tmp_path).load("a.json")


def test_an_empty_folder_names_the_layout(tmp_path):
    with pytest.raises(EvaluationError, match=r"Expected: \*\.json in any folder"):
        Labelme(tmp_path).names()


# Shapes and files of other tools


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (0, 2, 1, 3), (3, 1, 0, 2), (2, 3, 0, 1)])
@pytest.mark.parametrize("kind", ["rectangle", "oriented_rectangle", "rotation", "quadrilateral"])
def test_four_corners_in_any_order_are_one_outline(tmp_path, kind, order):
    (obj,) = _objects(tmp_path, _shape([RING[index] for index in order], kind))

    np.testing.assert_array_equal(obj.mask, block(FIRST))


def test_a_quadrilateral_keeps_its_notch(tmp_path):
    notched = [[2, 2], [14, 2], [5, 5], [2, 14]]

    (quadrilateral,) = _objects(tmp_path, _shape(notched, "quadrilateral"))
    (polygon,) = _objects(tmp_path, _shape(notched))

    np.testing.assert_array_equal(quadrilateral.mask, polygon.mask)


@pytest.mark.parametrize(
    ("odd", "reason"),
    [
        (_shape(RING[:3], "rectangle"), "rectangle of another number of points than 2 or 4"),
        (_shape(RING, "cuboid"), "shape of the unknown type 'cuboid'"),
        (_shape([[3, 2], [7, 7]], "mask", mask="#"), "mask that cannot be read"),
        (_shape([[3, float("nan")]] * 3), "shape that is not as the format says"),
        (_shape([[3, 1e300], [1, 1], [2, 2]]), "shape with a coordinate above 10,000,000"),
        (_shape([[3, 2], [4, 4]]), "polygon of fewer than three points"),
        (_shape([[60, 2], [64, 2], [64, 8]]), "mask or outline without any pixel of the image"),
        (_shape([[3, 2], [4, 4]], "line"), "line or point, which has no area"),
        (None, "shape that is not as the format says"),
    ],
)
def test_one_odd_shape_costs_that_shape_and_not_its_image(tmp_path, odd, reason):
    save(tmp_path / "a.png", surface())

    sample = _write(tmp_path, _shape(RING), odd).load("a.json")

    (obj,) = sample.objects
    np.testing.assert_array_equal(obj.mask, block(FIRST))
    assert sample.left_out == {reason: 1}


def test_labels_may_be_numbers_and_groups_zero_or_texts(tmp_path):
    shapes = (
        _shape(RING, label=1, group_id=0, flags=None),
        _shape(OTHER_RING, label=1.0, group_id="0"),
        _shape(RING, label=None),
        _shape(RING, label=2.5),
    )

    objects = _objects(tmp_path, *shapes)

    assert [obj.label for obj in objects] == ["1", "unlabelled", "2.5"]
    np.testing.assert_array_equal(objects[0].mask, block(FIRST) | block(SECOND))


@pytest.mark.parametrize("written", ["C:\\me\\a.png", "/home/me/set/a.png", "../old/a.png"])
def test_an_image_of_another_machine_is_found_by_its_name(tmp_path, written):
    save(tmp_path / "images/a.png", surface(1))

    sample = _write(tmp_path, _shape(RING), imagePath=written).load("a.json")

    assert len(sample.notes) == 1
    np.testing.assert_array_equal(sample.image, surface(1))


def test_an_image_beside_the_folder_is_read_and_none_further_away(tmp_path):
    save(tmp_path / "set/images/a.png", surface())
    save(tmp_path / "secret.png", surface())
    (tmp_path / "set/labels").mkdir()

    beside = _write(tmp_path / "set/labels", _shape(RING), imagePath="..\\images\\a.png").load("a.json")
    assert len(beside.objects) == 1
    assert beside.notes == ()

    with pytest.raises(BrokenSampleError, match=r"secret\.png cannot be read"):
        _write(tmp_path / "set/labels", _shape(RING), imagePath="../../secret.png").load("a.json")


def test_without_an_image_path_the_image_of_the_same_name_is_taken(tmp_path):
    save(tmp_path / "a.png", surface())

    sample = _write(tmp_path, _shape(RING), imagePath=None).load("a.json")

    assert len(sample.objects) == 1
    assert "imagePath is empty" in sample.notes[0]


def test_images_that_nobody_annotated_are_counted(tmp_path):
    save(tmp_path / "a.png", surface())
    save(tmp_path / "b/c.png", surface())

    assert _write(tmp_path).left_out() == {"image without a JSON file of its name (first: b/c.png)": 1}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b'{"images": [], "annotations": []}', "is no file of Labelme: .* it has images, annotations"),
        (b"[]", "it is a list"),
        (b'{"shapes": []}\n{"shapes": []}', "is JSON Lines"),
        ('{"shapes": "caf\u00e9"}'.encode("latin-1"), "Windows-1252"),
    ],
)
def test_the_message_says_what_a_file_is(tmp_path, content, message):
    (tmp_path / "a.json").write_bytes(content)

    with pytest.raises(BrokenSampleError, match=message):
        Labelme(tmp_path).load("a.json")
