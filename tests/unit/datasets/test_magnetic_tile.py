from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from mask_files import FIRST, block, painted, real_data, save, surface
from sam_evaluation.datasets.magnetic_tile import MagneticTile
from sam_evaluation.errors import BrokenSampleError, EvaluationError

CRACK, FREE = "MT_Crack/Imgs/exp1.jpg", "MT_Free/Imgs/exp2.jpg"
MASK = "MT_Crack/Imgs/exp1.png"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    save(tmp_path / CRACK, surface(1))
    save(tmp_path / FREE, surface(2))
    save(tmp_path / MASK, painted(first=128, second=127))
    return tmp_path


def test_images_are_listed_and_masks_are_not(root: Path) -> None:
    assert MagneticTile(root).names() == [CRACK, FREE]


def test_above_127_is_defect(root: Path) -> None:
    (obj,) = MagneticTile(root).load(CRACK).objects
    assert obj.label == "Crack"
    np.testing.assert_array_equal(obj.mask, block(FIRST))


def test_tiles_without_a_defect_need_no_mask(root: Path) -> None:
    assert MagneticTile(root).load(FREE).objects == ()


def test_a_missing_mask_is_reported(root: Path) -> None:
    (root / MASK).unlink()
    with pytest.raises(BrokenSampleError, match=r"exp1\.png is missing"):
        MagneticTile(root).load(CRACK)


def test_a_mask_of_another_size_is_reported(root: Path) -> None:
    save(root / MASK, painted(255)[:-1])
    with pytest.raises(BrokenSampleError, match="32 x 23 pixels, its image 32 x 24"):
        MagneticTile(root).load(CRACK)


def test_an_image_that_cannot_be_read_is_reported(root: Path) -> None:
    (root / CRACK).write_bytes(b"torn")
    with pytest.raises(BrokenSampleError, match=r"exp1\.jpg"):
        MagneticTile(root).load(CRACK)


def test_another_folder_names_the_layout(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match=r"Expected: MT_<defect>/Imgs/\*\.jpg"):
        MagneticTile(tmp_path).names()


def test_the_real_tiles_are_read() -> None:
    data = MagneticTile(real_data("magnetic_tile"))
    names = data.names()
    tiles = Counter(name.split("/")[0] for name in names)
    # Of the tiles without a defect a copy may hold only some.
    tiles.pop("MT_Free")
    assert tiles == {"MT_Blowhole": 115, "MT_Break": 85, "MT_Crack": 57, "MT_Fray": 32, "MT_Uneven": 103}
    labels = Counter(obj.label for name in names[::10] for obj in data.load(name).objects)
    assert set(labels) == {"Blowhole", "Break", "Crack", "Fray", "Uneven"}
