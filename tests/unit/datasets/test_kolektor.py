from pathlib import Path

import numpy as np
import pytest

from mask_files import FIRST, SECOND, block, painted, save, surface
from sam_evaluation.datasets.kolektor import KolektorSdd, KolektorSdd2
from sam_evaluation.errors import BrokenSampleError, EvaluationError


@pytest.fixture
def first(tmp_path: Path) -> KolektorSdd:
    for part, mask in ((0, painted()), (1, painted(255, 255))):
        save(tmp_path / f"kos01/Part{part}.jpg", surface(part))
        save(tmp_path / f"kos01/Part{part}_label.bmp", mask)
    return KolektorSdd(tmp_path)


@pytest.fixture
def second(tmp_path: Path) -> KolektorSdd2:
    for split, number, mask in (
        ("test", 20000, painted(255, 255)),
        ("test", 20001, painted()),
        ("train", 10000, painted()),
    ):
        save(tmp_path / split / f"{number}.png", surface(number))
        save(tmp_path / split / f"{number}_GT.png", mask)
    save(tmp_path / "test/20001(copy).png", surface())
    return KolektorSdd2(tmp_path)


def test_the_first_lists_parts_and_no_labels(first: KolektorSdd) -> None:
    assert first.names() == ["kos01/Part0.jpg", "kos01/Part1.jpg"]


def test_the_first_reads_its_bitmaps(first: KolektorSdd) -> None:
    assert first.load("kos01/Part0.jpg").objects == ()
    objects = first.load("kos01/Part1.jpg").objects
    assert [obj.label for obj in objects] == ["defect", "defect"]
    np.testing.assert_array_equal(objects[0].mask, block(FIRST))
    np.testing.assert_array_equal(objects[1].mask, block(SECOND))


def test_the_second_lists_the_images_of_a_split_and_no_copies(second: KolektorSdd2) -> None:
    assert second.names() == ["test/20000.png", "test/20001.png"]
    assert KolektorSdd2(second.folder, split="train").names() == ["train/10000.png"]


def test_the_second_reads_its_masks(second: KolektorSdd2) -> None:
    sample = second.load("test/20000.png")
    np.testing.assert_array_equal(sample.image, surface(20000))
    assert [obj.label for obj in sample.objects] == ["defect", "defect"]
    np.testing.assert_array_equal(sample.objects[1].mask, block(SECOND))
    assert second.load("test/20001.png").objects == ()


def test_a_missing_mask_is_reported(first: KolektorSdd, second: KolektorSdd2) -> None:
    (first.folder / "kos01/Part1_label.bmp").unlink()
    with pytest.raises(BrokenSampleError, match=r"Part1_label\.bmp is missing"):
        first.load("kos01/Part1.jpg")
    (second.folder / "test/20000_GT.png").unlink()
    with pytest.raises(BrokenSampleError, match=r"20000_GT\.png is missing"):
        second.load("test/20000.png")


def test_a_mask_of_another_size_is_reported(second: KolektorSdd2) -> None:
    save(second.folder / "test/20000_GT.png", painted(255)[:-1])
    with pytest.raises(BrokenSampleError, match="32 x 23 pixels, its image 32 x 24"):
        second.load("test/20000.png")


def test_another_folder_names_the_layout(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match=r"Expected: kosNN/PartN\.jpg"):
        KolektorSdd(tmp_path).names()
    with pytest.raises(EvaluationError, match=r"Expected: <split>/NNNNN\.png"):
        KolektorSdd2(tmp_path).names()
