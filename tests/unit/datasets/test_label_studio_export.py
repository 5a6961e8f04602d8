import base64
import io
import json
from pathlib import Path

import numpy as np
import pytest
from label_studio_sdk.converter.brush import encode_rle, mask2rle
from PIL import Image

from mask_files import FIRST, HEIGHT, SECOND, WIDTH, block, save, surface
from sam_backend.labelstudio.region_masks import region_label, region_mask
from sam_evaluation.datasets.label_studio import LabelStudio
from sam_evaluation.errors import BrokenSampleError, EvaluationError

NOISE = np.random.default_rng(0).random((HEIGHT, WIDTH)) < 0.3
CORNERS = [(3, 2), (8, 2), (8, 8), (3, 8)]
OTHER_CORNERS = [(20, 12), (28, 12), (28, 18), (20, 18)]


def _region(kind: str, label: str | None = "dent", **value: object) -> dict:
    labels = {kind: [label]} if label else {}
    size = {"original_width": WIDTH, "original_height": HEIGHT, "image_rotation": 0}
    return {"id": "x1", "type": kind, "from_name": "a", "to_name": "image", **size, "value": {**value, **labels}}


def _percent(points: list) -> list:
    return [[x / WIDTH * 100, y / HEIGHT * 100] for x, y in points]


def _polygon(points: list = CORNERS, kind: str = "polygonlabels", label: str | None = "dent") -> dict:
    return _region(kind, label, points=_percent(points), closed=True)


def _box(x: float, y: float, width: float, height: float, **value: object) -> dict:
    shares = {"x": x / WIDTH, "y": y / HEIGHT, "width": width / WIDTH, "height": height / HEIGHT}
    return _region("rectanglelabels", **{key: share * 100 for key, share in shares.items()}, **value)


def _data_url(pixels: np.ndarray) -> str:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def _bitmask(mask: np.ndarray) -> dict:
    pixels = np.zeros((*mask.shape, 4), np.uint8)
    pixels[..., 3] = mask * 255
    return _region("bitmasklabels", imageDataURL=_data_url(pixels))


def _brush(mask: np.ndarray) -> dict:
    return _region("brushlabels", format="rle", rle=mask2rle(mask.astype(np.uint8) * 255))


def _task(number: int, *annotations: dict, image: str = "/data/upload/3/0a1b2c3d-a.png", **data: object) -> dict:
    return {"id": number, "data": {"image": image, **data}, "annotations": list(annotations), "predictions": []}


def _annotation(*regions: dict, **fields: object) -> dict:
    return {"id": 1, "was_cancelled": False, "result": list(regions), "updated_at": "2025-01-01T00:00:00Z", **fields}


def _write(folder: Path, *tasks: dict, image: str = "a.png") -> LabelStudio:
    save(folder / image, surface())
    (folder / "export.json").write_text(json.dumps(tasks))
    return LabelStudio(folder)


# One region's mask


@pytest.mark.parametrize("mask", [block(FIRST), NOISE], ids=["block", "noise"])
@pytest.mark.parametrize("region", [_brush, _bitmask])
def test_masks_come_back_to_the_pixel(mask, region):
    np.testing.assert_array_equal(region_mask(region(mask)), mask)


def test_of_a_brush_only_alpha_counts():
    pixels = np.zeros((HEIGHT, WIDTH, 4), int)
    pixels[..., :3] = 255
    pixels[FIRST][..., 3] = 128
    pixels[SECOND][..., 3] = 127

    np.testing.assert_array_equal(region_mask(_region("brushlabels", rle=encode_rle(pixels.ravel()))), block(FIRST))


@pytest.mark.parametrize("region", [_polygon(), _box(3, 2, 5, 6)], ids=["polygon", "rectangle"])
def test_shapes_that_enclose_pixels_cover_just_those(region):
    np.testing.assert_array_equal(region_mask(region), block(FIRST))


def test_a_rectangle_turns_in_pixels_about_its_corner():
    # Down by its width of 6, to the left by its height of 3, though per cents of width and height differ.
    np.testing.assert_array_equal(region_mask(_box(13, 4, 6, 3, rotation=90)), block(np.s_[4:10, 10:13]))


@pytest.mark.parametrize("rotation", [0, 90])
def test_an_ellipse_has_radii_of_width_and_height_before_it_is_turned(rotation):
    shares = {"x": 16 / WIDTH * 100, "y": 50, "radiusX": 8 / WIDTH * 100, "radiusY": 3 / HEIGHT * 100}
    rows, columns = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    dx, dy = columns - 16, rows - 12
    along, across = (dy, dx) if rotation else (dx, dy)

    mask = region_mask(_region("ellipselabels", **shares, rotation=rotation))

    np.testing.assert_array_equal(mask, (along / 8) ** 2 + (across / 3) ** 2 < 1)


def test_the_value_tells_the_shape_of_a_region_of_a_labels_tag():
    np.testing.assert_array_equal(region_mask(_polygon(kind="labels")), block(FIRST))


@pytest.mark.parametrize(
    "region",
    [
        _region("keypointlabels", x=5.0, y=5.0, width=0.4),
        _region("choices", choices=["bad"]),
        _region("textarea", text=["deep"]),
        {"type": "relation", "from_id": "a", "to_id": "b", "direction": "right"},
    ],
    ids=lambda region: region["type"],
)
def test_what_has_no_area_has_no_mask(region):
    assert region_mask(region) is None


def test_a_region_of_no_pixel_has_an_empty_mask():
    assert not region_mask(_box(3, 2, 0, 0)).any()


@pytest.mark.parametrize(
    ("region", "message"),
    [
        (_polygon() | {"original_width": None}, "Region x1 is not as its format says at 'original_width'"),
        (_region("polygonlabels", points=[[1, "a"]]), r"Region x1 is not as its format says at '0\.1'"),
        (_region("rectanglelabels", x=1, width=2, height=3), "at 'y': Field required"),
        (_region("ellipselabels", x=1, y=2, radiusX=3), "at 'radiusY'"),
        (_region("brushlabels", rle="abc"), "list of bytes from 0 to 255"),
        (_region("brushlabels", rle=[1, 2, 300]), "list of bytes from 0 to 255"),
        (
            _region("brushlabels", rle=_brush(NOISE)["value"]["rle"][:-200]),
            "x1 cannot be read. The brush mask breaks off",
        ),
        (_brush(NOISE) | {"original_width": 99}, "holds 3072 bytes, but an image of 99 x 24 pixels needs 9504"),
        (_region("bitmasklabels", imageDataURL="http://a/b.png"), "starts with 'data:image/png"),
        (
            _region("bitmasklabels", imageDataURL="data:image/png;base64,AAAA"),
            "Region x1 cannot be read. The bitmask is not a readable",
        ),
        (_bitmask(NOISE) | {"original_width": 99}, "bitmask has 32 x 24 pixels, but the image 99 x 24"),
        (_bitmask(NOISE) | {"original_width": 9}, "bitmask has 32 x 24 pixels, but the image 9 x 24"),
    ],
)
def test_a_broken_region_is_named(region, message):
    with pytest.raises(BrokenSampleError, match=message):
        region_mask(region)


def test_a_label_is_found_under_whichever_tag_gave_it():
    assert region_label(_polygon()) == "dent"
    assert region_label(_polygon(kind="labels")) == "dent"
    assert region_label(_region("rectanglelabels", None, rectanglelabels=["dent", "deep"])) == "dent, deep"
    assert region_label(_polygon(label=None)) is None


# The export


def test_every_region_is_an_object_of_its_label(tmp_path):
    regions = _polygon(), _brush(block(SECOND)) | {"id": "x2"}, _box(8, 2, 6, 6) | {"id": "x3"}
    dataset = _write(tmp_path, _task(5, _annotation(*regions)))

    assert dataset.names() == ["5/0a1b2c3d-a.png"]
    sample = dataset.load("5/0a1b2c3d-a.png")

    np.testing.assert_array_equal(sample.image, surface())
    assert [found.label for found in sample.objects] == ["dent"] * 3
    for found, where in zip(sample.objects, (FIRST, SECOND, np.s_[2:8, 8:14]), strict=True):
        np.testing.assert_array_equal(found.mask, block(where))


def test_results_of_one_id_are_one_object(tmp_path):
    regions = (
        _polygon(kind="polygon", label=None),
        _polygon(kind="labels", label="scratch"),
        _region("choices", None, choices=["deep"]),
    )

    (found,) = _write(tmp_path, _task(5, _annotation(*regions))).load("5/0a1b2c3d-a.png").objects

    assert found.label == "scratch"
    np.testing.assert_array_equal(found.mask, block(FIRST))


def test_small_regions_are_left_out_and_those_without_a_label_are_not(tmp_path):
    regions = _box(1, 1, 4, 4), _polygon(OTHER_CORNERS, "polygon", None) | {"id": "x2"}

    (found,) = _write(tmp_path, _task(5, _annotation(*regions))).load("5/0a1b2c3d-a.png").objects

    assert found.label == "unlabelled"


def test_of_a_tasks_annotations_the_newest_not_cancelled_counts(tmp_path):
    annotations = (
        _annotation(_polygon(label="old"), updated_at="2025-01-01T00:00:00Z", id=9),
        _annotation(_polygon(label="new"), updated_at="2025-03-01T00:00:00Z"),
        _annotation(_polygon(label="skipped"), updated_at="2025-04-01T00:00:00Z", was_cancelled=True),
        _annotation(_polygon(label="middle"), updated_at="2025-02-01T00:00:00Z"),
    )

    (found,) = _write(tmp_path, _task(5, *annotations)).load("5/0a1b2c3d-a.png").objects

    assert found.label == "new"


def test_tasks_without_annotations_are_left_out_and_empty_annotations_are_not(tmp_path):
    dataset = _write(tmp_path, _task(1), _task(2, _annotation(was_cancelled=True)), _task(3, _annotation()))

    assert dataset.names() == ["3/0a1b2c3d-a.png"]
    assert dataset.load("3/0a1b2c3d-a.png").objects == ()


@pytest.mark.parametrize(
    ("url", "file"),
    [
        ("/data/upload/3/0a1b2c3d-a.png", "0a1b2c3d-a.png"),
        ("/data/upload/3/0a1b2c3d-a.png", "deep/er/a.png"),
        ("http://localhost:8080/data/upload/3/0a1b2c3d-my_part_1.png", "my part (1).png"),
        ("/data/local-files/?d=line%203/a%20b.png", "line 3/a b.png"),
        ("/data/local-files?d=line 3/a.png", "a.png"),
        ("s3://bucket/parts/a.png", "parts/a.png"),
        ("https://host/a.png?signature=1#x", "a.png"),
    ],
)
def test_an_image_is_found_by_what_its_address_says(tmp_path, url, file):
    dataset = _write(tmp_path, _task(5, _annotation(_polygon()), image=url), image=file)

    (name,) = dataset.names()
    assert len(dataset.load(name).objects) == 1


def test_of_images_of_one_name_that_of_the_same_folder_counts(tmp_path):
    save(tmp_path / "line 4/a.png", surface(4))
    url = "/data/local-files/?d=parts/line 4/a.png"

    sample = _write(tmp_path, _task(5, _annotation(), image=url), image="line 3/a.png").load("5/a.png")

    np.testing.assert_array_equal(sample.image, surface(4))


def test_export_and_images_may_be_given(tmp_path):
    _write(tmp_path / "export", _task(5, _annotation(_polygon())), image="../images/a.png")

    dataset = LabelStudio(tmp_path / "export/export.json", images=tmp_path / "images")

    assert len(dataset.load("5/0a1b2c3d-a.png").objects) == 1


def test_of_several_images_the_one_called_image_counts(tmp_path):
    save(tmp_path / "b.png", surface(1))
    dataset = _write(tmp_path, _task(5, _annotation(), reference="b.png", note="see c", page="d.html"))
    np.testing.assert_array_equal(dataset.load("5/0a1b2c3d-a.png").image, surface())

    task = _task(5, _annotation(), front="a.png", back="b.png")
    del task["data"]["image"]
    dataset = _write(tmp_path, task)
    with pytest.raises(BrokenSampleError, match=r"several images \(front, back\); call the annotated one 'image'"):
        dataset.load(dataset.names()[0])


def test_an_image_that_is_missing_ambiguous_or_broken_is_told(tmp_path):
    dataset = _write(tmp_path, _task(5, _annotation()), image="b.png")
    with pytest.raises(BrokenSampleError, match=r"image of task 5, 0a1b2c3d-a\.png or a\.png, is not in"):
        dataset.load("5/0a1b2c3d-a.png")

    for folder in ("one", "two"):
        save(tmp_path / folder / "a.png", surface())
    with pytest.raises(BrokenSampleError, match=r"may be any of .*one/a\.png, .*two/a\.png"):
        LabelStudio(tmp_path).load("5/0a1b2c3d-a.png")

    (tmp_path / "0a1b2c3d-a.png").write_bytes(b"no image")
    with pytest.raises(BrokenSampleError, match="not an image"):
        LabelStudio(tmp_path).load("5/0a1b2c3d-a.png")


def test_a_task_without_an_image_is_told(tmp_path):
    dataset = _write(tmp_path, _task(5, _annotation(), image="just text"))

    with pytest.raises(BrokenSampleError, match="names no image"):
        dataset.load("5")


def test_a_region_drawn_on_an_image_of_another_size_is_refused(tmp_path):
    dataset = _write(tmp_path, _task(5, _annotation(_polygon() | {"original_width": 64})))

    with pytest.raises(BrokenSampleError, match=r"Region x1 was drawn on an image of 64 x 24 pixels, .* is 32 x 24"):
        dataset.load("5/0a1b2c3d-a.png")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[", "not valid JSON"),
        ('{"a": 1}', "export it as JSON, not JSON-MIN"),
        ('[{"id": 1, "image": "a.png", "label": []}]', "export it as JSON, not JSON-MIN"),
        ('[{"id": "x", "data": {}, "annotations": []}]', r"at '0\.id'"),
        ("[7]", "at '0'"),
        ("[]", "Expected: tasks with annotations"),
    ],
)
def test_a_file_of_another_kind_is_refused(tmp_path, text, message):
    (tmp_path / "export.json").write_text(text)

    with pytest.raises(EvaluationError, match=message):
        LabelStudio(tmp_path).names()


def test_a_folder_without_one_export_names_the_layout(tmp_path):
    with pytest.raises(EvaluationError, match=r"Expected: one \*\.json exported as JSON"):
        LabelStudio(tmp_path).names()

    for name in ("a.json", "b.json"):
        (tmp_path / name).touch()
    with pytest.raises(EvaluationError, match=r"several annotation files \(a\.json, b\.json\)"):
        LabelStudio(tmp_path).names()
