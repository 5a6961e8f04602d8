import unicodedata
from pathlib import Path

import cv2
import numpy as np
import pytest

from mask_files import FIRST, SECOND, block, painted, save, surface
from sam_evaluation.datasets.mask_folder import MaskFolder
from sam_evaluation.errors import BrokenSampleError, EvaluationError


def folder_of(root: Path, **masks: np.ndarray) -> MaskFolder:
    for seed, (stem, mask) in enumerate(masks.items()):
        save(root / "images" / f"{stem}.png", surface(seed))
        save(root / "masks" / f"{stem}.png", mask)
    return MaskFolder(root)


def labels_of(data: MaskFolder, name: str) -> list[str]:
    return [obj.label for obj in data.load(name).objects]


def test_binary_masks_give_one_object_a_component(tmp_path: Path) -> None:
    data = folder_of(tmp_path, b=painted(255, 255), a=painted())
    assert data.names() == ["a.png", "b.png"]
    sample = data.load("b.png")
    np.testing.assert_array_equal(sample.image, surface(0))
    assert [obj.label for obj in sample.objects] == ["object", "object"]
    np.testing.assert_array_equal(sample.objects[0].mask, block(FIRST))
    np.testing.assert_array_equal(sample.objects[1].mask, block(SECOND))


def test_a_black_mask_says_that_there_is_nothing(tmp_path: Path) -> None:
    assert folder_of(tmp_path, a=painted()).load("a.png").objects == ()


def test_grey_levels_are_classes(tmp_path: Path) -> None:
    data = folder_of(tmp_path, a=painted(3, 7))
    assert labels_of(data, "a.png") == ["class 3", "class 7"]


def test_what_is_a_class_is_decided_by_all_masks(tmp_path: Path) -> None:
    data = folder_of(tmp_path, a=painted(255), b=painted(0, 7))
    assert labels_of(data, "a.png") == ["class 255"]


def test_a_broken_mask_does_not_keep_the_others_from_being_read(tmp_path: Path) -> None:
    data = folder_of(tmp_path, a=painted(255), b=painted(3))
    (tmp_path / "masks/a.png").write_bytes(b"not an image")
    assert labels_of(data, "b.png") == ["class 3"]
    with pytest.raises(BrokenSampleError, match=r"a\.png cannot be read"):
        data.load("a.png")


def test_classes_txt_names_the_values(tmp_path: Path) -> None:
    data = folder_of(tmp_path, a=painted(3, 255))
    (tmp_path / "classes.txt").write_text("3 deep scratch\n\n255 dent\n")
    assert labels_of(data, "a.png") == ["deep scratch", "dent"]


def test_a_value_that_classes_txt_does_not_name_is_reported(tmp_path: Path) -> None:
    data = folder_of(tmp_path, a=painted(3, 4))
    (tmp_path / "classes.txt").write_text("3 scratch")
    with pytest.raises(BrokenSampleError, match="label 4; the known labels are 3 scratch"):
        data.load("a.png")


@pytest.mark.parametrize("text", ["3 scratch\nfour dent", "3 scratch\n4"])
def test_a_line_of_classes_txt_that_is_no_class_is_reported(tmp_path: Path, text: str) -> None:
    data = folder_of(tmp_path, a=painted(3))
    (tmp_path / "classes.txt").write_text(text)
    with pytest.raises(EvaluationError, match=r"classes\.txt, line 2: expected `<value> <name>`"):
        data.names()


def test_a_mask_may_be_of_another_file_type_than_its_image(tmp_path: Path) -> None:
    save(tmp_path / "images/a.JPG", surface())
    save(tmp_path / "masks/a.bmp", painted(255))
    assert labels_of(MaskFolder(tmp_path), "a.JPG") == ["object"]


def test_a_missing_mask_is_reported(tmp_path: Path) -> None:
    data = folder_of(tmp_path, a=painted(255))
    save(tmp_path / "images/b.png", surface())
    with pytest.raises(BrokenSampleError, match=r"One mask b\.\* was expected .* there is none"):
        data.load("b.png")


def test_two_masks_of_one_image_are_reported(tmp_path: Path) -> None:
    data = folder_of(tmp_path, a=painted(255))
    save(tmp_path / "masks/a.bmp", painted(255))
    with pytest.raises(BrokenSampleError, match=r"there are 2: a\.bmp, a\.png"):
        data.load("a.png")


def test_a_jpeg_is_no_mask(tmp_path: Path) -> None:
    data = folder_of(tmp_path, a=painted(255))
    (tmp_path / "masks/a.png").unlink()
    save(tmp_path / "masks/a.jpg", painted(255))
    with pytest.raises(BrokenSampleError, match="save masks as PNG"):
        data.load("a.png")


def test_a_mask_of_another_size_is_reported(tmp_path: Path) -> None:
    data = folder_of(tmp_path, a=painted(255)[:-1])
    with pytest.raises(BrokenSampleError, match="32 x 23 pixels, its image 32 x 24"):
        data.load("a.png")


@pytest.mark.parametrize("part", ["images", "masks"])
def test_a_folder_without_images_or_masks_names_the_layout(tmp_path: Path, part: str) -> None:
    data = folder_of(tmp_path, a=painted(255))
    (tmp_path / part / "a.png").unlink()
    with pytest.raises(EvaluationError, match=r"Expected: images/\* and masks/\*"):
        data.names()


def test_a_mask_with_grey_rims_is_refused_and_does_not_rename_the_class_of_the_others(tmp_path: Path) -> None:
    data = folder_of(tmp_path, a=cv2.GaussianBlur(painted(255), (3, 3), 0), b=painted(255))
    with pytest.raises(BrokenSampleError, match=r"a\.png has \d+ grey levels or colours only along edges"):
        data.load("a.png")
    assert labels_of(data, "b.png") == ["object"]


def test_one_grey_level_around_white_is_refused_too(tmp_path: Path) -> None:
    mask = cv2.dilate(painted(128), np.ones((3, 3), np.uint8))
    mask[painted(1) > 0] = 255
    with pytest.raises(BrokenSampleError, match=r"has 1 grey levels or colours only along edges \(128\)"):
        folder_of(tmp_path, a=mask).load("a.png")


def test_values_that_classes_txt_names_are_no_rims(tmp_path: Path) -> None:
    mask = cv2.dilate(painted(128), np.ones((3, 3), np.uint8))
    mask[painted(1) > 0] = 255
    data = folder_of(tmp_path, a=mask)
    (tmp_path / "classes.txt").write_text("128 rim\n255 pit")
    assert labels_of(data, "a.png") == ["rim", "pit"]


def test_each_colour_is_a_class_also_if_grey_levels_are_the_same(tmp_path: Path) -> None:
    colours = np.zeros((*painted().shape, 3), np.uint8)
    colours[FIRST], colours[SECOND] = (255, 0, 0), (0, 130, 0)
    data = folder_of(tmp_path, a=colours)
    assert labels_of(data, "a.png") == ["class #008200", "class #ff0000"]
    (tmp_path / "classes.txt").write_text("#ff0000 scratch\n#008200 dent")
    assert labels_of(MaskFolder(tmp_path), "a.png") == ["dent", "scratch"]
    (tmp_path / "classes.txt").write_text("#ff0000 scratch")
    with pytest.raises(BrokenSampleError, match="label #008200; the known labels are #ff0000 scratch"):
        MaskFolder(tmp_path).load("a.png")


def test_what_is_not_read_is_counted(tmp_path: Path) -> None:
    data = folder_of(tmp_path, a=painted(255))
    save(tmp_path / "masks/b.png", painted(255))
    save(tmp_path / "masks/more/c.png", painted(255))
    save(tmp_path / "images/more/c.png", surface())
    (tmp_path / "images/d.heic").touch()
    assert {reason: number for reason, number in data.left_out().items() if number} == {
        "mask without an image of the same name": 1,
        "image in a folder inside images, where only its own images are read": 1,
        "image in a folder inside masks, where only its own images are read": 1,
        "file in images of an unknown kind (suffix .heic)": 1,
    }


def test_names_with_accents_belong_together_however_they_are_composed(tmp_path: Path) -> None:
    save(tmp_path / "images" / unicodedata.normalize("NFD", "Prüfung é.png"), surface())
    save(tmp_path / "masks" / unicodedata.normalize("NFC", "Prüfung é.png"), painted(255))
    data = MaskFolder(tmp_path)
    assert labels_of(data, data.names()[0]) == ["object"]
    assert not sum(data.left_out().values())
