from pathlib import Path

import numpy as np
import pytest

from mask_files import FIRST, SECOND, block, save, surface
from sam_evaluation.datasets.severstal import Severstal, mask_of_runs
from sam_evaluation.errors import BrokenSampleError, EvaluationError


def runs_of(mask: np.ndarray) -> str:
    """Return the runs of a mask as the competition writes them."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], mask.ravel("F").astype(int), [0]))))
    return " ".join(f"{start + 1} {end - start}" for start, end in edges.reshape(-1, 2))


def data_of(root: Path, table: str) -> Severstal:
    for seed, name in enumerate(("a.jpg", "b.jpg")):
        save(root / "train_images" / name, surface(seed))
    (root / "train.csv").write_text(table)
    return Severstal(root)


TABLES = {
    "a row a defect": "ImageId,ClassId,EncodedPixels\n"
    f"a.jpg,3,{runs_of(block(SECOND))}\na.jpg,1,{runs_of(block(FIRST))}\n",
    "a row an image and class": "ImageId_ClassId,EncodedPixels\n"
    f"a.jpg_1,{runs_of(block(FIRST))}\na.jpg_2,\na.jpg_3,{runs_of(block(SECOND))}\na.jpg_4,\nb.jpg_1,\nb.jpg_2,\n",
}


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES.keys())
def test_both_forms_of_the_table_are_read(tmp_path: Path, table: str) -> None:
    data = data_of(tmp_path, table)
    assert data.names() == ["a.jpg", "b.jpg"]
    objects = data.load("a.jpg").objects
    assert [obj.label for obj in objects] == ["class 1", "class 3"]
    np.testing.assert_array_equal(objects[0].mask, block(FIRST))
    np.testing.assert_array_equal(objects[1].mask, block(SECOND))
    assert data.load("b.jpg").objects == ()


def test_runs_count_from_1_down_the_columns() -> None:
    expected = np.array([[1, 0, 0], [1, 0, 1]], bool)
    np.testing.assert_array_equal(mask_of_runs("1 2 6 1", 2, 3), expected)


@pytest.mark.parametrize(
    ("runs", "message"),
    [
        ("1 2 3", "pairs of whole numbers"),
        ("1 x", "pairs of whole numbers"),
        ("1 -2", "pairs of whole numbers"),
        ("0 5", "the run 0 5 leaves the 32 x 24 pixels"),
        ("768 2", "the run 768 2 leaves"),
        (f"{10**30} 1", "leaves the 32 x 24 pixels"),
    ],
)
def test_runs_that_fit_no_image_are_reported(tmp_path: Path, runs: str, message: str) -> None:
    data = data_of(tmp_path, f"ImageId,ClassId,EncodedPixels\na.jpg,2,{runs}\n")
    with pytest.raises(BrokenSampleError, match=f"The runs of a.jpg, class 2, in train.csv: .*{message}"):
        data.load("a.jpg")


def test_one_odd_row_costs_that_row_and_rows_without_an_image_are_counted(tmp_path: Path) -> None:
    rows = f"a.jpg,1,{runs_of(block(FIRST))}\r\ntrain_images\\a.jpg,2,0 5\r\nb.jpg,1,nan\r\nc.jpg,1,1 5\r\n"
    data = data_of(tmp_path, "\ufeffImageId,ClassId,EncodedPixels\r\n" + rows)

    sample = data.load("a.jpg")

    assert [obj.label for obj in sample.objects] == ["class 1"]
    assert sample.left_out == {"row whose runs are not of the image": 1}
    assert data.load("b.jpg").objects == ()
    assert data.left_out() == {"row of train.csv whose image is not in train_images (first: c.jpg)": 1}


def test_an_image_that_is_missing_is_reported(tmp_path: Path) -> None:
    data = data_of(tmp_path, TABLES["a row a defect"])
    (tmp_path / "train_images/a.jpg").unlink()
    with pytest.raises(BrokenSampleError, match=r"a\.jpg cannot be read: No such file"):
        data.load("a.jpg")


def test_a_missing_table_is_reported(tmp_path: Path) -> None:
    data = data_of(tmp_path, "")
    (tmp_path / "train.csv").unlink()
    with pytest.raises(EvaluationError, match=r"train\.csv is missing"):
        data.names()


def test_a_table_of_other_columns_is_reported(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match=r"no column 'ImageId'\. Expected: .*ImageId,ClassId,EncodedPixels"):
        data_of(tmp_path, "image,runs\na.jpg,1 1\n").names()


def test_a_table_without_defects_is_reported(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match=r"train\.csv lists no defect"):
        data_of(tmp_path, "ImageId_ClassId,EncodedPixels\na.jpg_1,\n").names()


def test_another_folder_names_the_layout(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match=r"Expected: train_images/\*\.jpg and train\.csv"):
        Severstal(tmp_path).names()
