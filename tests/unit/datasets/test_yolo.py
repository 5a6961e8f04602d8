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
        ("2 0.1 0.1 0.2 0.2 0.3 0.1", "has the class 2, but only 2 classes have names"),
        ("dent 0.1 0.1", "should hold the numbers class x1 y1 x2 y2 ...; got 'dent 0.1 0.1'"),
    ],
)
def test_a_broken_row_is_named(tmp_path, row, message):
    with pytest.raises(BrokenSampleError, match=message):
        _write(tmp_path, row).load("a.png")


def test_broken_files_are_named(tmp_path):
    dataset = _write(tmp_path)
    (tmp_path / "labels/val/a.txt").write_bytes(b"\xff\xfe")
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
