from pathlib import Path

import numpy as np
import pytest

from mask_files import FIRST, SECOND, block, painted, save, surface
from sam_evaluation.datasets.mvtec_loco import MvtecLoco
from sam_evaluation.errors import BrokenSampleError, EvaluationError

BROKEN = "pushpins/test/structural_anomalies/007.png"
MASKS = "pushpins/ground_truth/structural_anomalies/007"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    save(tmp_path / BROKEN, surface(1))
    save(tmp_path / "pushpins/test/good/000.png", surface(2))
    save(tmp_path / "pushpins/validation/good/000.png", surface(3))
    save(tmp_path / MASKS / "000.png", painted(first=233))
    save(tmp_path / MASKS / "001.png", painted(second=1))
    return tmp_path


def test_the_test_images_are_listed(root: Path) -> None:
    names = ["pushpins/test/good/000.png", BROKEN]
    assert MvtecLoco(root).names() == names
    assert MvtecLoco(root / "pushpins").names() == names


def test_each_mask_is_a_defect_whatever_its_value(root: Path) -> None:
    objects = MvtecLoco(root).load(BROKEN).objects
    assert [obj.label for obj in objects] == ["structural_anomalies"] * 2
    np.testing.assert_array_equal(objects[0].mask, block(FIRST))
    np.testing.assert_array_equal(objects[1].mask, block(SECOND))


def test_defects_that_touch_stay_apart(root: Path) -> None:
    beside = np.zeros_like(painted())
    beside[2:8, 8:13] = 255
    save(root / MASKS / "001.png", beside)
    first, second = MvtecLoco(root).load(BROKEN).objects
    np.testing.assert_array_equal(first.mask, block(FIRST))
    np.testing.assert_array_equal(second.mask, beside > 0)


def test_good_images_need_no_mask(root: Path) -> None:
    assert MvtecLoco(root).load("pushpins/test/good/000.png").objects == ()


def test_a_folder_without_masks_is_reported(root: Path) -> None:
    for name in ("000", "001"):
        (root / MASKS / f"{name}.png").unlink()
    with pytest.raises(BrokenSampleError, match="structural_anomalies/007 was expected to hold the masks"):
        MvtecLoco(root).load(BROKEN)


def test_a_mask_of_another_size_is_reported(root: Path) -> None:
    save(root / MASKS / "001.png", painted(255)[:-1])
    with pytest.raises(BrokenSampleError, match=r"001\.png is 32 x 23 pixels, its image 32 x 24"):
        MvtecLoco(root).load(BROKEN)


def test_a_mask_that_cannot_be_read_is_reported(root: Path) -> None:
    (root / MASKS / "001.png").write_bytes(b"torn")
    with pytest.raises(BrokenSampleError, match=r"001\.png cannot be read"):
        MvtecLoco(root).load(BROKEN)


def test_another_folder_names_the_layout(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match=r"Expected: <category>/test/<type>/NNN\.png"):
        MvtecLoco(tmp_path).names()
