from pathlib import Path

import numpy as np
import pytest

from mask_files import FIRST, HEIGHT, SECOND, WIDTH, block, save, surface
from sam_evaluation.datasets.objects import ObjectRule
from sam_evaluation.datasets.yolo import Yolo
from sam_evaluation.errors import BrokenSampleError, EvaluationError


def _row(label: int, where: tuple[slice, slice]) -> str:
    rows, columns = where
    corners = [
        (columns.start, rows.start),
        (columns.stop, rows.start),
        (columns.stop, rows.stop),
        (columns.start, rows.stop),
    ]
    return " ".join([str(label), *(f"{x / WIDTH:.6f} {y / HEIGHT:.6f}" for x, y in corners)])


def _write(folder: Path, *rows: str, images: str = "images/val", labels: str = "labels/val") -> Yolo:
    save(folder / images / "a.png", surface())
    (folder / labels).mkdir(parents=True, exist_ok=True)
    (folder / labels / "a.txt").write_text("\n".join(rows))
    if not (folder / "data.yaml").exists():
        (folder / "data.yaml").write_text("names: [dent, scratch]\n")
    return Yolo(folder)


def test_every_row_is_one_object(tmp_path):
    sample = _write(tmp_path, _row(1, FIRST), "", _row(0, SECOND), _row(1, np.s_[2:8, 8:14])).load("a.png")

    np.testing.assert_array_equal(sample.image, surface())
    assert [obj.label for obj in sample.objects] == ["scratch", "dent", "scratch"]
    for obj, where in zip(sample.objects, (FIRST, SECOND, np.s_[2:8, 8:14]), strict=True):
        np.testing.assert_array_equal(obj.mask, block(where))


def test_small_objects_are_left_out(tmp_path):
    _write(tmp_path, _row(1, FIRST), _row(0, SECOND))

    (obj,) = Yolo(tmp_path, ObjectRule(min_area=31)).load("a.png").objects

    assert obj.label == "dent"


def test_an_image_without_rows_or_without_a_file_has_no_objects(tmp_path):
    dataset = _write(tmp_path)
    save(tmp_path / "images/val/b.png", surface())

    assert dataset.names() == ["a.png", "b.png"]
    assert dataset.load("a.png").objects == ()
    assert dataset.load("b.png").objects == ()


@pytest.mark.parametrize(
    ("images", "labels", "yaml"),
    [
        ("images/val", "labels/val", "names: {0: dent}"),
        ("val/images", "val/labels", "names: [dent]"),
        ("images", "labels", "names: [dent]"),
        ("valid/images", "valid/labels", "names: [dent]\nval: ../valid/images"),
        ("parts/images/line 3", "parts/labels/line 3", "names: [dent]\npath: parts\nval: images/line 3"),
        ("images/second", "labels/second", "names: [dent]\npath: /not/here\nval: images/second"),
    ],
)
def test_a_split_is_found_where_tools_put_it(tmp_path, images, labels, yaml):
    (tmp_path / "data.yaml").write_text(yaml)

    (obj,) = _write(tmp_path, _row(0, FIRST), images=images, labels=labels).load("a.png").objects

    assert obj.label == "dent"


def test_another_split_can_be_asked_for(tmp_path):
    _write(tmp_path, _row(0, FIRST))
    _write(tmp_path, _row(1, FIRST), images="images/test", labels="labels/test")

    assert Yolo(tmp_path, split="test").load("a.png").objects[0].label == "scratch"


def test_classes_may_be_named_by_a_text_file(tmp_path):
    dataset = _write(tmp_path, _row(1, FIRST))
    (tmp_path / "data.yaml").unlink()
    (tmp_path / "classes.txt").write_text("crack\nhole\n")

    assert dataset.load("a.png").objects[0].label == "hole"


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("0 0.5 0.5 0.2 0.2", "Row 1 of .* is a box"),
        ("0 0.1 0.1 0.2 0.2 0.3", "at least three points; it has 5 coordinates"),
        ("0 3 2 8 2 8 8", "not from 0 to 1"),
        ("0 0.1 nan 0.2 0.2 0.3 0.3", "not from 0 to 1"),
        ("0.5 0.1 0.1 0.2 0.2 0.3 0.1", "should begin with the number of a class; got 0.5"),
        ("dent 0.1 0.1", "should hold the numbers class x1 y1 x2 y2 ...; got 'dent 0.1 0.1'"),
    ],
)
def test_a_broken_row_is_named(tmp_path, row, message):
    with pytest.raises(BrokenSampleError, match=message):
        _write(tmp_path, row).load("a.png")


def test_broken_files_are_named(tmp_path):
    dataset = _write(tmp_path)
    (tmp_path / "labels/val/a.txt").write_bytes(b"\xff\xff")
    with pytest.raises(BrokenSampleError, match=r"a\.txt cannot be read"):
        dataset.load("a.png")

    (tmp_path / "images/val/a.png").write_bytes(b"no image")
    with pytest.raises(BrokenSampleError, match="not an image"):
        dataset.load("a.png")


@pytest.mark.parametrize(
    ("yaml", "message"),
    [
        ("names: [", "not valid YAML"),
        ("- dent", "should hold the names of the classes"),
        ("nc: 2", "at 'names': Field required"),
        (None, "has no names of classes. Expected: data.yaml"),
    ],
)
def test_classes_that_cannot_be_read_are_reported(tmp_path, yaml, message):
    _write(tmp_path)
    (tmp_path / "data.yaml").unlink()
    if yaml is not None:
        (tmp_path / "data.yaml").write_text(yaml)

    with pytest.raises(EvaluationError, match=message):
        Yolo(tmp_path).names()


def test_a_wrong_folder_names_the_layout(tmp_path):
    _write(tmp_path)

    with pytest.raises(EvaluationError, match=r"no images of the split test\. Expected: data\.yaml"):
        Yolo(tmp_path, split="test").names()

    (tmp_path / "labels/val/a.txt").unlink()
    (tmp_path / "labels/val").rmdir()
    with pytest.raises(EvaluationError, match=r"no folder of labels\. Expected"):
        Yolo(tmp_path).names()


# Files of other tools and systems


def test_a_class_without_a_name_keeps_its_number_and_is_told(tmp_path):
    sample = _write(tmp_path, _row(7, FIRST), _row(0, SECOND)).load("a.png")

    assert [obj.label for obj in sample.objects] == ["class 7", "dent"]
    assert sample.notes == ("class 7 has no name; its objects are measured under its number",)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("0 0.5 0.5 0.2 0.2", "box without an outline"),
        ("0 0.1 0.1 0.2 0.2 0.3", "row without three whole points"),
        ("0 3 2 8 2 8 8", "row with coordinates that are not from 0 to 1"),
        ("dent 0.1 0.1", "row that is not of numbers"),
        ("nan 0.1 0.1 0.2 0.2 0.3 0.1", "row without a class"),
        ("0 0.1 0.1 0.1 0.1 0.1 0.1", "mask or outline without any pixel of the image"),
    ],
)
def test_one_odd_row_costs_that_row_and_not_its_image(tmp_path, row, reason):
    sample = _write(tmp_path, _row(1, FIRST), row).load("a.png")

    (obj,) = sample.objects
    np.testing.assert_array_equal(obj.mask, block(FIRST))
    assert sample.left_out == {reason: 1}


def test_images_in_folders_of_a_split_are_part_of_it(tmp_path):
    _write(tmp_path, _row(0, FIRST))
    _write(tmp_path, _row(1, FIRST), images="images/val/line 2", labels="labels/val/line 2")

    dataset = Yolo(tmp_path)

    assert dataset.names() == ["a.png", "line 2/a.png"]
    assert dataset.load("line 2/a.png").objects[0].label == "scratch"


def test_images_and_labels_may_lie_in_one_folder(tmp_path):
    _write(tmp_path, _row(1, FIRST), images="", labels="")
    (tmp_path / "data.yaml").unlink()
    (tmp_path / "classes.txt").write_text("crack\nhole\n")

    assert Yolo(tmp_path).names() == ["a.png"]
    assert Yolo(tmp_path).load("a.png").objects[0].label == "hole"
    assert Yolo(tmp_path).left_out() == {}


def test_files_that_belong_to_no_image_are_counted(tmp_path):
    dataset = _write(tmp_path, _row(0, FIRST))
    (tmp_path / "labels/val/b.txt").write_text(_row(0, FIRST))
    (tmp_path / "images/val/b.heic").touch()
    (tmp_path / "images/val/.DS_Store").touch()

    assert dataset.left_out() == {
        "file in val of an unknown kind (suffix .heic)": 1,
        "label file without an image (first: b.txt)": 1,
    }


@pytest.mark.parametrize(
    "yaml",
    [
        "names: [dent]\nval: images/holdout",
        "names: [dent]\nval: [images/holdout]",
        "names: [dent]\nval: holdout.txt",
        "names: [dent]\npath: /home/me/set\nval: images/holdout",
        "names: [dent]\nval: C:\\me\\set\\images\\holdout",
    ],
)
def test_what_the_yaml_file_names_is_measured_or_refused(tmp_path, yaml):
    (tmp_path / "data.yaml").write_text(yaml)
    _write(tmp_path, _row(0, FIRST))

    with pytest.raises(EvaluationError, match=r"data\.yaml names .*holdout.* there are: val; name one with @val"):
        Yolo(tmp_path).names()


@pytest.mark.parametrize(
    "line", ["./images/val/a.png", "images/val/a.png", "/home/me/set/images/val/a.png", "val\\a.png"]
)
@pytest.mark.parametrize("end", ["\n", "\r\n", "  \n"])
def test_a_list_of_images_is_followed(tmp_path, line, end):
    (tmp_path / "data.yaml").write_text("names: [dent]\nval: val.txt\n")
    (tmp_path / "val.txt").write_bytes(b"\xef\xbb\xbf" + f"{line}{end}{line}{end}".encode())
    dataset = _write(tmp_path, _row(0, FIRST))
    save(tmp_path / "images/val/b.png", surface())

    assert dataset.names() == ["a.png"]
    sample = dataset.load("a.png")
    assert [obj.label for obj in sample.objects] == ["dent"]
    assert sample.notes == (
        ("image found by its file name, not at the path that is written",) if line.startswith("/") else ()
    )
    assert dataset.left_out() == {"image that is listed twice": 1}


@pytest.mark.parametrize("name", ["data.yml", "dataset.yaml", "coco8-seg.yaml"])
def test_the_yaml_file_may_have_another_name_or_be_given(tmp_path, name):
    _write(tmp_path, _row(1, FIRST))
    (tmp_path / "data.yaml").rename(tmp_path / name)

    for given in (tmp_path, tmp_path / name):
        assert Yolo(given).load("a.png").objects[0].label == "scratch"


def test_a_folder_that_is_not_divided_has_no_named_split(tmp_path):
    _write(tmp_path, _row(0, FIRST), images="images", labels="labels")
    save(tmp_path / "images/train/b.png", surface())

    assert Yolo(tmp_path).names() == ["a.png"]
    assert Yolo(tmp_path).left_out() == {"image in a folder of a split inside images": 1}
    with pytest.raises(EvaluationError, match=r"no images of the split test.* are not divided; leave @test out"):
        Yolo(tmp_path, split="test").names()


def test_accents_may_be_composed_differently(tmp_path):
    dataset = _write(tmp_path, _row(0, FIRST))
    (tmp_path / "images/val/a.png").rename(tmp_path / "images/val/caf\u00e9.png")
    (tmp_path / "labels/val/a.txt").rename(tmp_path / "labels/val/cafe\u0301.txt")

    assert len(dataset.load("caf\u00e9.png").objects) == 1


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path, encoding):
    _write(tmp_path, _row(0, FIRST))
    (tmp_path / "data.yaml").unlink()
    (tmp_path / "classes.txt").write_text("crack \r\nhole\r\n", encoding=encoding)
    (tmp_path / "labels/val/a.txt").write_text(_row(0, FIRST) + " \r\n", encoding=encoding)

    assert Yolo(tmp_path).load("a.png").objects[0].label == "crack"


@pytest.mark.parametrize(
    ("yaml", "message"),
    [
        (b"names: {0: a, 0: b}", "'0' is given twice"),
        (b"names: [a]\nkpt_shape: [17, 3]", "describes poses"),
        ("names: [caf\u00e9]".encode("cp1252"), "Windows-1252"),
        (b"names: [a]\nval: 7", "should name folders or lists of images for val; got 7"),
    ],
)
def test_the_message_says_what_is_wrong_in_the_yaml_file(tmp_path, yaml, message):
    _write(tmp_path)
    (tmp_path / "data.yaml").write_bytes(yaml)

    with pytest.raises(EvaluationError, match=message):
        Yolo(tmp_path).names()


def test_names_of_classes_may_be_numbers_or_missing(tmp_path):
    (tmp_path / "data.yaml").write_text("names: {'0': 7, 1: null}\n")

    sample = _write(tmp_path, _row(0, FIRST), _row(1, SECOND)).load("a.png")

    assert [obj.label for obj in sample.objects] == ["7", "class 1"]
