from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from mask_files import FIRST, SECOND, block, painted, real_data, save, surface
from sam_evaluation.datasets.neu_seg import NeuSeg
from sam_evaluation.errors import BrokenSampleError, EvaluationError

MASK = "annotations/test/000001.png"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    save(tmp_path / "images/test/000001.jpg", surface(1))
    save(tmp_path / MASK, painted(3, 1))
    save(tmp_path / "images/training/000002.jpg", surface(2))
    return tmp_path


def test_the_images_of_a_split_are_listed(root: Path) -> None:
    assert NeuSeg(root).names() == ["000001.jpg"]
    assert NeuSeg(root, split="training").names() == ["000002.jpg"]


def test_values_are_classes(root: Path) -> None:
    objects = NeuSeg(root).load("000001.jpg").objects
    assert [obj.label for obj in objects] == ["inclusion", "scratches"]
    np.testing.assert_array_equal(objects[0].mask, block(SECOND))
    np.testing.assert_array_equal(objects[1].mask, block(FIRST))


def test_an_unknown_value_is_reported(root: Path) -> None:
    save(root / MASK, painted(4))
    with pytest.raises(BrokenSampleError, match="label 4; the known labels are 1 inclusion, 2 patches, 3 scratches"):
        NeuSeg(root).load("000001.jpg")


def test_a_missing_mask_is_reported(root: Path) -> None:
    with pytest.raises(BrokenSampleError, match=r"annotations/training/000002\.png is missing"):
        NeuSeg(root, split="training").load("000002.jpg")


def test_a_mask_of_another_size_is_reported(root: Path) -> None:
    save(root / MASK, painted(1)[:-1])
    with pytest.raises(BrokenSampleError, match="32 x 23 pixels, its image 32 x 24"):
        NeuSeg(root).load("000001.jpg")


def test_another_folder_names_the_layout(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match=r"Expected: images/<split>/\*\.jpg"):
        NeuSeg(tmp_path).names()


def test_the_real_test_images_hold_all_classes() -> None:
    data = NeuSeg(real_data("neu_seg"))
    names = data.names()
    assert len(names) == 840
    labels = Counter[str]()
    for name in names[::20]:
        sample = data.load(name)
        assert sample.image.shape == (200, 200, 3)
        assert sample.objects
        labels.update(obj.label for obj in sample.objects)
    assert set(labels) == {"inclusion", "patches", "scratches"}
