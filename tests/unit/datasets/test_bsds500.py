from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from mask_files import FIRST, SECOND, block, painted, real_data, save, surface
from sam_evaluation.datasets.bsds500 import Bsds500
from sam_evaluation.datasets.objects import ObjectRule
from sam_evaluation.errors import BrokenSampleError, EvaluationError


def add(root: Path, name: str, *segmentations: np.ndarray) -> Bsds500:
    cells = np.empty((1, len(segmentations)), object)
    for index, segmentation in enumerate(segmentations):
        cells[0, index] = {"Segmentation": segmentation.astype(np.uint16), "Boundaries": np.zeros((2, 2))}
    save(root / "images" / f"{name}.jpg", surface())
    truth = root / "groundTruth" / f"{name}.mat"
    truth.parent.mkdir(parents=True, exist_ok=True)
    savemat(truth, {"groundTruth": cells})
    return Bsds500(root)


def test_every_region_of_every_annotator_is_an_object(tmp_path: Path) -> None:
    data = add(tmp_path, "8068", painted(2, 3, background=1), painted(second=2, background=1))
    assert data.names() == ["8068.jpg"]
    objects = data.load("8068.jpg").objects
    # In the second segmentation the first block has the label 0.
    expected = [
        (0, ~(block(FIRST) | block(SECOND))),
        (0, block(FIRST)),
        (0, block(SECOND)),
        (1, block(FIRST)),
        (1, ~(block(FIRST) | block(SECOND))),
        (1, block(SECOND)),
    ]
    assert [obj.annotator for obj in objects] == [annotator for annotator, _ in expected]
    assert {obj.label for obj in objects} == {"region"}
    for obj, (_, mask) in zip(objects, expected, strict=True):
        np.testing.assert_array_equal(obj.mask, mask)


def test_the_rule_says_whether_a_label_in_two_places_is_one_object(tmp_path: Path) -> None:
    add(tmp_path, "8068", painted(2, 2, background=1))
    assert len(Bsds500(tmp_path).load("8068.jpg").objects) == 3
    assert len(Bsds500(tmp_path, ObjectRule(connectivity=0)).load("8068.jpg").objects) == 2


def test_a_split_is_read_where_there_are_splits(tmp_path: Path) -> None:
    add(tmp_path, "test/1", painted(2, background=1))
    add(tmp_path, "val/2", painted(background=1))
    assert Bsds500(tmp_path).names() == ["1.jpg"]
    assert len(Bsds500(tmp_path).load("1.jpg").objects) == 3
    assert Bsds500(tmp_path, split="val").names() == ["2.jpg"]
    assert len(Bsds500(tmp_path, split="val").load("2.jpg").objects) == 3


def test_a_split_that_is_missing_names_those_that_are_there(tmp_path: Path) -> None:
    add(tmp_path, "train/1", painted(2, background=1))
    for split in ("test", "val"):
        with pytest.raises(EvaluationError, match=rf"no split {split}; the splits there are: train\."):
            Bsds500(tmp_path, split=split).names()

    add(tmp_path, "2", painted(background=1))
    assert Bsds500(tmp_path).names() == ["2.jpg"]
    assert Bsds500(tmp_path).left_out() == {"image in a folder inside images, where only its own images are read": 1}


def test_a_folder_that_is_not_divided_has_no_named_split(tmp_path: Path) -> None:
    add(tmp_path, "1", painted(background=1))
    with pytest.raises(EvaluationError, match=r"no split train; .* is not divided"):
        Bsds500(tmp_path, split="train").names()


def test_a_missing_ground_truth_is_reported(tmp_path: Path) -> None:
    data = add(tmp_path, "1", painted(background=1))
    (tmp_path / "groundTruth/1.mat").unlink()
    with pytest.raises(BrokenSampleError, match=r"groundTruth/1\.mat is missing"):
        data.load("1.jpg")


def test_no_annotator_at_all_is_reported(tmp_path: Path) -> None:
    with pytest.raises(BrokenSampleError, match=r"1\.mat holds no Segmentation"):
        add(tmp_path, "1").load("1.jpg")


def test_one_annotator_of_another_size_is_reported(tmp_path: Path) -> None:
    data = add(tmp_path, "1", painted(background=1), painted(background=1).T)
    with pytest.raises(BrokenSampleError, match="24 x 32 pixels, its image 32 x 24"):
        data.load("1.jpg")


def test_another_folder_names_the_layout(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match=r"Expected: images/\*\.jpg, each with groundTruth/\*\.mat"):
        Bsds500(tmp_path).names()


def test_the_regions_of_an_annotator_cover_the_real_images() -> None:
    data = Bsds500(real_data("bsds500"), ObjectRule(min_area=1))
    names = data.names()
    assert len(names) == 200
    for name in names[::40]:
        sample = data.load(name)
        annotators = {obj.annotator for obj in sample.objects}
        assert annotators == set(range(len(annotators)))
        assert len(annotators) >= 4
        for annotator in annotators:
            cover = sum(obj.mask.astype(int) for obj in sample.objects if obj.annotator == annotator)
            assert np.all(cover == 1)
