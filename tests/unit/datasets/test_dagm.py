from pathlib import Path

import numpy as np
import pytest

from mask_files import FIRST, block, painted, save, surface
from sam_evaluation.datasets.dagm import Dagm
from sam_evaluation.errors import BrokenSampleError, EvaluationError

DEFECT, GOOD = "Class2/Test/0001.PNG", "Class2/Test/0002.PNG"
MASK = "Class2/Test/Label/0001_label.PNG"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    save(tmp_path / DEFECT, surface(1))
    save(tmp_path / GOOD, surface(2))
    save(tmp_path / MASK, painted(255))
    save(tmp_path / "Class10/Train/0003.PNG", surface(3))
    return tmp_path


def test_the_images_of_a_split_are_listed(root: Path) -> None:
    assert Dagm(root).names() == [DEFECT, GOOD]
    assert Dagm(root, split="Train").names() == ["Class10/Train/0003.PNG"]


def test_the_label_is_the_texture(root: Path) -> None:
    sample = Dagm(root).load(DEFECT)
    np.testing.assert_array_equal(sample.image, surface(1))
    (obj,) = sample.objects
    assert obj.label == "Class2"
    np.testing.assert_array_equal(obj.mask, block(FIRST))


def test_an_image_without_a_mask_has_no_defect(root: Path) -> None:
    assert Dagm(root).load(GOOD).objects == ()


def test_a_missing_folder_of_masks_is_reported(root: Path) -> None:
    with pytest.raises(BrokenSampleError, match="Class10/Train/Label is missing"):
        Dagm(root).load("Class10/Train/0003.PNG")


def test_a_mask_of_another_size_is_reported(root: Path) -> None:
    save(root / MASK, painted(255)[:-1])
    with pytest.raises(BrokenSampleError, match="32 x 23 pixels, its image 32 x 24"):
        Dagm(root).load(DEFECT)


def test_a_mask_that_cannot_be_read_is_reported(root: Path) -> None:
    (root / MASK).write_bytes(b"torn")
    with pytest.raises(BrokenSampleError, match=r"0001_label\.PNG cannot be read"):
        Dagm(root).load(DEFECT)


def test_another_folder_names_the_layout(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match=r"Expected: ClassN/<split>/NNNN\.PNG"):
        Dagm(tmp_path).names()
