from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mask_files import FIRST, SECOND, block, painted, save, surface
from sam_evaluation.datasets.objects import ObjectRule
from sam_evaluation.datasets.voc import Voc
from sam_evaluation.errors import BrokenSampleError, EvaluationError

# Of VOC's palette.
AEROPLANE, BICYCLE, VOID, TVMONITOR = (128, 0, 0), (0, 128, 0), (224, 224, 192), (0, 64, 128)


def _palette(path: Path, labels: np.ndarray, *colours: tuple) -> None:
    """Write a PNG with a palette; its colours are black where none are given."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(labels, "P")
    image.putpalette([value for colour in colours for value in colour] or [0] * 768)
    image.save(path)


def _coloured(first: tuple, second: tuple) -> np.ndarray:
    pixels = np.zeros((*painted().shape, 3), np.uint8)
    pixels[FIRST], pixels[SECOND] = first, second
    return pixels


@pytest.fixture
def dataset(tmp_path: Path) -> Voc:
    save(tmp_path / "JPEGImages/a.png", surface())
    _palette(tmp_path / "SegmentationClass/a.png", painted(1, 20))
    return Voc(tmp_path)


def test_the_indices_of_the_palette_are_the_classes(dataset):
    sample = dataset.load("a")

    np.testing.assert_array_equal(sample.image, surface())
    assert [obj.label for obj in sample.objects] == ["aeroplane", "tvmonitor"]
    np.testing.assert_array_equal(sample.objects[0].mask, block(FIRST))
    np.testing.assert_array_equal(sample.objects[1].mask, block(SECOND))


def test_colours_are_those_of_vocs_palette(tmp_path, dataset):
    save(tmp_path / "SegmentationClass/a.png", _coloured(BICYCLE, TVMONITOR))

    assert [obj.label for obj in dataset.load("a").objects] == ["bicycle", "tvmonitor"]


@pytest.mark.parametrize("coloured", [False, True])
def test_void_is_of_no_object(tmp_path, dataset, coloured):
    if coloured:
        save(tmp_path / "SegmentationClass/a.png", _coloured(VOID, AEROPLANE))
    else:
        _palette(tmp_path / "SegmentationClass/a.png", painted(255, 1))

    (obj,) = dataset.load("a").objects

    np.testing.assert_array_equal(obj.mask, block(SECOND))


def test_parts_of_a_class_are_objects_without_instances_and_one_with_them(tmp_path, dataset):
    _palette(tmp_path / "SegmentationClass/a.png", painted(1, 1))
    assert len(dataset.load("a").objects) == 2
    assert len(Voc(tmp_path, ObjectRule(connectivity=0)).load("a").objects) == 1

    _palette(tmp_path / "SegmentationObject/a.png", painted(3, 3))
    (obj,) = dataset.load("a").objects
    np.testing.assert_array_equal(obj.mask, block(FIRST) | block(SECOND))


def test_touching_instances_stay_two_and_take_the_class_that_most_of_them_has(tmp_path, dataset):
    classes, instances = painted(1, 1), painted(1, 255)
    instances[2:8, 8:14] = 2
    classes[2:8, 8:14] = 2
    classes[2, 8:14] = 255
    _palette(tmp_path / "SegmentationClass/a.png", classes)
    _palette(tmp_path / "SegmentationObject/a.png", instances)

    first, second = dataset.load("a").objects

    assert (first.label, second.label) == ("aeroplane", "bicycle")
    np.testing.assert_array_equal(first.mask, block(FIRST))
    np.testing.assert_array_equal(second.mask, block(np.s_[2:8, 8:14]))


def test_a_label_map_file_names_classes_by_their_colours(tmp_path, dataset):
    lines = "# label:color_rgb:parts:actions\nbackground:0,0,0::\ndent:250,50,83::\nscratch:1,2,3::\n"
    (tmp_path / "labelmap.txt").write_text(lines)

    save(tmp_path / "SegmentationClass/a.png", _coloured((1, 2, 3), (250, 50, 83)))
    assert [obj.label for obj in Voc(tmp_path).load("a").objects] == ["dent", "scratch"]

    # Here index 1 has the second class's colour.
    _palette(tmp_path / "SegmentationClass/a.png", painted(1, 2), (0, 0, 0), (1, 2, 3), (250, 50, 83))
    dent, scratch = Voc(tmp_path).load("a").objects
    assert (dent.label, scratch.label) == ("dent", "scratch")
    np.testing.assert_array_equal(scratch.mask, block(FIRST))


def test_a_split_takes_only_its_names(tmp_path, dataset):
    assert dataset.names() == ["a"]

    (tmp_path / "ImageSets/Segmentation").mkdir(parents=True)
    (tmp_path / "ImageSets/Segmentation/val.txt").write_text("c\nb\n")

    assert Voc(tmp_path).names() == ["b", "c"]
    with pytest.raises(EvaluationError, match=r"use one of the splits in this folder \(val\)"):
        Voc(tmp_path, split="test").names()


def test_what_is_missing_or_broken_is_named(tmp_path, dataset):
    with pytest.raises(BrokenSampleError, match="JPEGImages holds no image b"):
        dataset.load("b")

    save(tmp_path / "JPEGImages/b.jpg", surface())
    with pytest.raises(BrokenSampleError, match=r"mask .*b\.png is missing"):
        dataset.load("b")

    (tmp_path / "SegmentationClass/a.png").write_bytes(b"no image")
    with pytest.raises(BrokenSampleError, match=r"mask .*a\.png cannot be read"):
        dataset.load("a")


@pytest.mark.parametrize("folder", ["SegmentationClass", "SegmentationObject"])
def test_a_mask_of_another_size_is_refused(tmp_path, dataset, folder):
    _palette(tmp_path / folder / "a.png", painted(1)[1:])

    with pytest.raises(BrokenSampleError, match="is 32 x 23 pixels, its image 32 x 24"):
        dataset.load("a")


def test_labels_and_colours_of_no_class_are_refused(tmp_path, dataset):
    _palette(tmp_path / "SegmentationObject/a.png", painted(0, 0, background=1))
    with pytest.raises(BrokenSampleError, match=r"Object 1 of .* has the label 0, which is not the value of a class"):
        dataset.load("a")

    _palette(tmp_path / "SegmentationClass/a.png", painted(21))
    (tmp_path / "SegmentationObject/a.png").unlink()
    with pytest.raises(BrokenSampleError, match="holds the label 21"):
        dataset.load("a")

    save(tmp_path / "SegmentationClass/a.png", _coloured((1, 2, 3), VOID))
    with pytest.raises(BrokenSampleError, match=r"holds the colour \(1, 2, 3\), which is not the value of a class"):
        dataset.load("a")


def test_a_wrong_label_map_file_or_folder_is_reported(tmp_path, dataset):
    (tmp_path / "labelmap.txt").write_text("dent\n")
    with pytest.raises(EvaluationError, match="needs lines of name:red,green,blue::; got 'dent'"):
        Voc(tmp_path).load("a")
    with pytest.raises(EvaluationError, match="Expected: JPEGImages"):
        Voc(tmp_path / "JPEGImages").names()


# Files of other tools and systems


@pytest.mark.parametrize(
    "line", ["a", "a.png", "JPEGImages/a.png", "JPEGImages\\a.png", "/home/me/a.jpg", "a  1", "a -1"]
)
def test_a_list_names_images_in_many_ways(tmp_path, dataset, line):
    save(tmp_path / "JPEGImages/line 2/a b.png", surface())
    (tmp_path / "ImageSets/Segmentation").mkdir(parents=True)
    text = f"{line} \r\n\r\nline 2/a b\r\n{line}\r\n"
    (tmp_path / "ImageSets/Segmentation/val.txt").write_text(text, encoding="utf-8-sig")

    assert dataset.names() == ["a", "line 2/a b"]


def test_images_in_folders_and_with_other_accents_are_read(tmp_path, dataset):
    save(tmp_path / "JPEGImages/line 2/caf\u00e9.png", surface())
    _palette(tmp_path / "SegmentationClass/line 2/cafe\u0301.png", painted(2))

    assert dataset.names() == ["a", "line 2/cafe\u0301"]
    assert [obj.label for obj in dataset.load("line 2/cafe\u0301").objects] == ["bicycle"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("class_names.txt", "_background_\ndent\nscratch\n"),
        ("labels.txt", "__ignore__\r\n_background_\r\ndent\r\nscratch \r\n"),
        ("classes.txt", "dent\nscratch\n\n"),
    ],
)
def test_a_list_of_classes_beside_the_masks_names_them(tmp_path, dataset, name, text):
    (tmp_path / name).write_text(text, encoding="utf-8-sig")
    _palette(tmp_path / "SegmentationClass/a.png", painted(2, 1))

    assert [obj.label for obj in Voc(tmp_path).load("a").objects] == ["dent", "scratch"]
    assert Voc(tmp_path).notes() == ()


def test_a_list_that_is_not_read_is_told(tmp_path, dataset):
    (tmp_path / "obj.names").write_text("dent\n")

    (note,) = dataset.notes()

    assert "the classes are those of VOC; obj.names is not read" in note


def test_what_belongs_to_no_label_map_is_counted(tmp_path, dataset):
    save(tmp_path / "JPEGImages/b.png", surface())
    (tmp_path / "JPEGImages/c.heic").touch()

    assert dataset.left_out() == {
        "image without a label map": 1,
        "file in JPEGImages of an unknown kind (suffix .heic)": 1,
    }


def test_a_set_of_boxes_alone_is_refused_by_name(tmp_path):
    save(tmp_path / "JPEGImages/a.png", surface())
    (tmp_path / "Annotations").mkdir()
    (tmp_path / "Annotations/a.xml").touch()

    with pytest.raises(EvaluationError, match=r"holds boxes \(Annotations/\*\.xml\) and no folder"):
        Voc(tmp_path).names()


def test_one_instance_without_a_class_costs_that_instance(tmp_path, dataset):
    _palette(tmp_path / "SegmentationClass/a.png", painted(1))
    _palette(tmp_path / "SegmentationObject/a.png", painted(1, 2))

    sample = dataset.load("a")

    assert len(sample.objects) == 1
    assert sample.left_out == {"object without a class in the label map": 1}


def test_two_images_of_one_name_and_two_classes_of_one_colour_are_refused(tmp_path, dataset):
    save(tmp_path / "JPEGImages/a.bmp", surface())
    with pytest.raises(BrokenSampleError, match=r"may be a\.bmp or a\.png"):
        dataset.load("a")

    (tmp_path / "labelmap.txt").write_text("dent:1,2,3::\nscratch:1,2,3::\n")
    save(tmp_path / "JPEGImages/b.png", surface())
    with pytest.raises(EvaluationError, match="'scratch:1,2,3::' twice"):
        Voc(tmp_path).load("b")


def test_transparent_pixels_are_of_no_known_class(tmp_path, dataset):
    pixels = np.zeros((*painted().shape, 4), np.uint8)
    pixels[FIRST] = (*AEROPLANE, 255)
    save(tmp_path / "SegmentationClass/a.png", pixels)

    with pytest.raises(BrokenSampleError, match="has transparent pixels"):
        dataset.load("a")
