from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from mask_files import FIRST, block, painted, save, surface
from sam_evaluation.datasets.crackforest import CrackForest
from sam_evaluation.errors import BrokenSampleError, EvaluationError


def data_of(root: Path, content: dict[str, object]) -> CrackForest:
    save(root / "image/001.jpg", surface())
    (root / "groundTruth").mkdir()
    savemat(root / "groundTruth/001.mat", content)
    return CrackForest(root)


def truth(segmentation: np.ndarray) -> dict[str, object]:
    return {"groundTruth": {"Segmentation": segmentation, "Boundaries": np.zeros_like(segmentation)}}


def test_2_is_crack_and_nothing_else(tmp_path: Path) -> None:
    data = data_of(tmp_path, truth(painted(first=2, second=3, background=1)))
    assert data.names() == ["001.jpg"]
    (obj,) = data.load("001.jpg").objects
    assert obj.label == "crack"
    np.testing.assert_array_equal(obj.mask, block(FIRST))


def test_a_missing_ground_truth_is_reported(tmp_path: Path) -> None:
    data = data_of(tmp_path, truth(painted(2)))
    (tmp_path / "groundTruth/001.mat").unlink()
    with pytest.raises(BrokenSampleError, match=r"groundTruth/001\.mat is missing"):
        data.load("001.jpg")


@pytest.mark.parametrize("kept", [0, 60, 130, 250])
def test_a_torn_ground_truth_is_reported(tmp_path: Path, kept: int) -> None:
    data = data_of(tmp_path, truth(painted(2)))
    path = tmp_path / "groundTruth/001.mat"
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(BrokenSampleError, match=r"001\.mat was expected to hold groundTruth"):
        data.load("001.jpg")


@pytest.mark.parametrize(
    "content", [{"other": 1}, {"groundTruth": np.ones((2, 2))}, {"groundTruth": {"Boundaries": 1}}]
)
def test_other_matlab_files_are_reported(tmp_path: Path, content: dict[str, object]) -> None:
    data = data_of(tmp_path, content)
    with pytest.raises(BrokenSampleError, match="expected to hold groundTruth with the field Segmentation"):
        data.load("001.jpg")


def test_a_segmentation_of_another_size_is_reported(tmp_path: Path) -> None:
    data = data_of(tmp_path, truth(painted(2)[:-1]))
    with pytest.raises(BrokenSampleError, match="32 x 23 pixels, its image 32 x 24"):
        data.load("001.jpg")


def test_another_folder_names_the_layout(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match=r"Expected: image/NNN\.jpg, each with groundTruth/NNN\.mat"):
        CrackForest(tmp_path).names()


@pytest.mark.parametrize("values", [painted(2).astype(float), painted(2).astype(">i4"), painted(2).astype(np.uint16)])
def test_whole_numbers_of_any_type_are_labels(tmp_path: Path, values: np.ndarray) -> None:
    (obj,) = data_of(tmp_path, truth(values)).load("001.jpg").objects
    np.testing.assert_array_equal(obj.mask, block(FIRST))


@pytest.mark.parametrize("value", [1.5, np.nan, np.inf])
def test_labels_that_are_no_whole_numbers_are_refused(tmp_path: Path, value: float) -> None:
    data = data_of(tmp_path, truth(np.where(painted(1), value, 0)))
    with pytest.raises(BrokenSampleError, match="labels are not whole numbers"):
        data.load("001.jpg")


def test_a_ground_truth_that_unpacks_to_too_much_is_refused_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = data_of(tmp_path, truth(painted(2)))
    savemat(tmp_path / "groundTruth/001.mat", truth(np.zeros((4000, 4000))), do_compression=True)
    monkeypatch.setattr("sam_evaluation.datasets.matlab.max_pixels", lambda: 1_000_000)
    with pytest.raises(BrokenSampleError, match=r"001\.mat unpacks to 2\d\d,\d+,\d+ bytes; at most 8,000,000 are read"):
        data.load("001.jpg")
