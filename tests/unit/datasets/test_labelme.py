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
        (_shape(RING, "rectangle"), "Shape 1 of .* is a rectangle, which needs 2 points; it has 4"),
        (_shape([[3, 3]], "circle"), "is a circle, which needs 2 points; it has 1"),
        (_shape(RING, "spline"), "is a 'spline'; the known types are polygon"),
        (_shape([[3, 2], [7, 7]], "mask"), "The mask inside shape 1 .* is not a readable PNG"),
        (_shape([[3, 2], [7, 7]], "mask", mask="#"), "is not valid base64"),
        (_shape([[30, 2], [34, 7]], "mask", mask=_png(np.ones((6, 5), np.uint8))), "5 x 6 pixels at x 30, y 2, beyond"),
        (_shape([[0, 0], [7, 7]], "mask", mask=_png(np.ones((6, 99), np.uint8))), "99 x 6 pixels; at most 32 x 24"),
        (_shape([[3, 2, 1]]), r"at 'shapes\.0\.points"),
        ({"points": RING}, r"at 'shapes\.0\.label': Field required"),
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
