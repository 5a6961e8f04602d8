from pathlib import Path

import numpy as np
import pytest

from mask_files import FIRST, SECOND, block, painted, save, surface
from sam_evaluation.datasets.visa import Visa
from sam_evaluation.errors import BrokenSampleError, EvaluationError

ANOMALY, NORMAL = "candle/Data/Images/Anomaly/000.JPG", "candle/Data/Images/Normal/0000.JPG"
MASK = "candle/Data/Masks/Anomaly/000.png"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    save(tmp_path / ANOMALY, surface(1))
    save(tmp_path / NORMAL, surface(2))
    save(tmp_path / MASK, painted(1, 3))
    return tmp_path


def write_split(root: Path, *rows: str) -> None:
    (root / "split_csv").mkdir()
    (root / "split_csv/1cls.csv").write_text("\n".join(("object,split,label,image,mask", *rows)))


def test_without_a_split_all_images_are_listed(root: Path) -> None:
    assert Visa(root).names() == [ANOMALY, NORMAL]
    assert Visa(root / "candle").names() == [ANOMALY, NORMAL]


def test_the_split_is_taken_from_its_table(root: Path) -> None:
    # The table is of all categories; pcb1 was not unpacked.
    other = "pcb1,test,normal,pcb1/Data/Images/Normal/0001.JPG,"
    write_split(root, f"candle,test,anomaly,{ANOMALY},{MASK}", f"candle,train,normal,{NORMAL},", other)
    assert Visa(root).names() == [ANOMALY]
    assert Visa(root, split="train").names() == [NORMAL]
    assert Visa(root / "candle").names() == [ANOMALY]


def test_every_value_above_0_is_an_anomaly(root: Path) -> None:
    objects = Visa(root).load(ANOMALY).objects
    assert [obj.label for obj in objects] == ["anomaly", "anomaly"]
    np.testing.assert_array_equal(objects[0].mask, block(FIRST))
    np.testing.assert_array_equal(objects[1].mask, block(SECOND))


def test_normal_images_need_no_mask(root: Path) -> None:
    assert Visa(root / "candle").load(NORMAL).objects == ()


def test_a_missing_mask_is_reported(root: Path) -> None:
    (root / MASK).unlink()
    with pytest.raises(BrokenSampleError, match=r"candle/Data/Masks/Anomaly/000\.png is missing"):
        Visa(root).load(ANOMALY)


def test_a_mask_of_another_size_is_reported(root: Path) -> None:
    save(root / MASK, painted(1)[:-1])
    with pytest.raises(BrokenSampleError, match="32 x 23 pixels, its image 32 x 24"):
        Visa(root).load(ANOMALY)


def test_an_unknown_split_is_reported(root: Path) -> None:
    write_split(root, f"candle,test,anomaly,{ANOMALY},{MASK}")
    with pytest.raises(EvaluationError, match="no image of the split 'val'"):
        Visa(root, split="val").names()


def test_a_table_without_its_columns_is_reported(root: Path) -> None:
    (root / "split_csv").mkdir()
    (root / "split_csv/1cls.csv").write_text("object,image\ncandle,x.JPG")
    with pytest.raises(
        EvaluationError, match="no column 'split'; the expected columns are object,split,label,image,mask"
    ):
        Visa(root).names()


def test_another_folder_names_the_layout(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match=r"Expected: <category>/Data/Images/\{Anomaly,Normal\}"):
        Visa(tmp_path).names()
