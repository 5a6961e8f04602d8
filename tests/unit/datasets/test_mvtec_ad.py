from pathlib import Path

import numpy as np
import pytest

from mask_files import FIRST, SECOND, block, painted, save, surface
from sam_evaluation.datasets.mvtec_ad import MvtecAd
from sam_evaluation.errors import BrokenSampleError, EvaluationError

CRACK, GOOD = "bottle/test/crack/000.png", "bottle/test/good/000.png"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    save(tmp_path / CRACK, surface(1))
    save(tmp_path / GOOD, surface(2))
    save(tmp_path / "bottle/train/good/000.png", surface(3))
    save(tmp_path / "bottle/ground_truth/crack/000_mask.png", painted(255, 1))
    save(tmp_path / "tile/test/oil/001.png", surface(4))
    return tmp_path


def test_the_test_images_of_all_categories_are_listed(root: Path) -> None:
    assert MvtecAd(root).names() == [CRACK, GOOD, "tile/test/oil/001.png"]


def test_the_label_is_the_type_of_the_defect(root: Path) -> None:
    sample = MvtecAd(root).load(CRACK)
    np.testing.assert_array_equal(sample.image, surface(1))
    assert [obj.label for obj in sample.objects] == ["crack", "crack"]
    np.testing.assert_array_equal(sample.objects[0].mask, block(FIRST))
    np.testing.assert_array_equal(sample.objects[1].mask, block(SECOND))


def test_good_images_need_no_mask(root: Path) -> None:
    assert MvtecAd(root).load(GOOD).objects == ()


@pytest.mark.parametrize("given", ["bottle", "."])
def test_a_folder_of_one_category_gives_the_same_names(root: Path, given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root / "bottle" if given == "." else root)
    data = MvtecAd(Path(given))
    assert data.names() == [CRACK, GOOD]
    assert len(data.load(CRACK).objects) == 2


def test_a_category_that_is_a_link_is_called_as_the_link(root: Path) -> None:
    (root / "flask").symlink_to(root / "bottle")
    assert MvtecAd(root / "flask").names()[0] == "flask/test/crack/000.png"


def test_a_missing_mask_is_reported(root: Path) -> None:
    with pytest.raises(BrokenSampleError, match=r"tile/ground_truth/oil/001_mask\.png is missing"):
        MvtecAd(root).load("tile/test/oil/001.png")


def test_a_mask_of_another_size_is_reported(root: Path) -> None:
    save(root / "bottle/ground_truth/crack/000_mask.png", painted(255)[:, :-2])
    with pytest.raises(BrokenSampleError, match="30 x 24 pixels, its image 32 x 24"):
        MvtecAd(root).load(CRACK)


def test_an_image_that_cannot_be_read_is_reported(root: Path) -> None:
    (root / CRACK).write_bytes(b"")
    with pytest.raises(BrokenSampleError, match=r"crack/000\.png"):
        MvtecAd(root).load(CRACK)


def test_another_folder_names_the_layout(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match=r"Expected: <category>/test/<defect>/NNN\.png"):
        MvtecAd(tmp_path).names()
