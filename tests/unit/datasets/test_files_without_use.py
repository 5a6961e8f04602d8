"""Files that a format does not read are counted, and those that it reads are not."""

from __future__ import annotations

from pathlib import Path

import pytest
from scipy.io import savemat

from mask_files import painted, save, surface
from sam_evaluation.datasets.registry import DatasetSpec

NEITHER = "file in {} that is neither an image of the layout nor the mask of one"


def _open(folder: Path, name: str):
    return DatasetSpec(name, folder).open()


def _counts(folder: Path, name: str) -> dict[str, int]:
    return {reason: number for reason, number in _open(folder, name).left_out().items() if number}


@pytest.mark.parametrize(
    ("name", "used", "unused", "where"),
    [
        (
            "mvtec_ad",
            ["a/test/pit/0.png", "a/test/good/1.png", "a/ground_truth/pit/0_mask.png"],
            ["a/ground_truth/pit/0.png", "a/ground_truth/pit/7_mask.png", "a/ground_truth/pit/more/8_mask.png"],
            "ground_truth",
        ),
        (
            "mvtec_loco",
            ["a/test/logical/0.png", "a/test/good/1.png", "a/ground_truth/logical/0/0.png"],
            ["a/ground_truth/logical/7/0.png", "a/ground_truth/logical/0.png"],
            "ground_truth",
        ),
        (
            "visa",
            ["a/Data/Images/Anomaly/0.JPG", "a/Data/Images/Normal/1.JPG", "a/Data/Masks/Anomaly/0.png"],
            ["a/Data/Masks/Anomaly/7.png", "a/Data/Masks/Anomaly/0.bmp"],
            "Masks",
        ),
        ("kolektor_sdd", ["kos01/Part0.jpg", "kos01/Part0_label.bmp"], ["kos01/Part1.png"], "kos01"),
        ("kolektor_sdd2", ["test/10.png", "test/10_GT.png"], ["test/11_GT.png", "test/more/12.png"], "test"),
        ("dagm", ["Class1/Test/0.PNG", "Class1/Test/Label/0_label.PNG"], ["Class1/Test/Label/1_label.PNG"], "Test"),
        ("neu_seg", ["images/test/a.jpg", "annotations/test/a.png"], ["annotations/test/b.png"], "test"),
        ("magnetic_tile", ["MT_Blowhole/Imgs/a.jpg", "MT_Blowhole/Imgs/a.png"], ["MT_Blowhole/Imgs/b.png"], "Imgs"),
    ],
)
def test_masks_and_images_without_use_are_counted(
    tmp_path: Path, name: str, used: list[str], unused: list[str], where: str
) -> None:
    for file in used:
        save(tmp_path / file, surface() if "asks" not in file else painted(255))
    assert _counts(tmp_path, name) == {}
    for file in unused:
        save(tmp_path / file, painted(255))
    assert _counts(tmp_path, name) == {NEITHER.format(where): len(unused)}
    (tmp_path / unused[0]).with_suffix(".heic").touch()
    assert _counts(tmp_path, name)[f"file in {where} of an unknown kind (suffix .heic)"] == 1


def test_ground_truth_without_an_image_is_counted(tmp_path: Path) -> None:
    save(tmp_path / "image/1.jpg", surface())
    (tmp_path / "groundTruth").mkdir()
    for stem in "12":
        savemat(tmp_path / f"groundTruth/{stem}.mat", {"groundTruth": {"Segmentation": painted(2)}})
    assert _counts(tmp_path, "crackforest") == {"file in groundTruth without an image of its name": 1}
