"""What each format's own definition says of an export, where no reader of ours does."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from typer.main import get_command

from export_sources import SIZE, ListSource, mask, run, saved
from sam_backend.samples import Object
from sam_evaluation.errors import EvaluationError
from sam_evaluation.exports.registry import known_formats, writer_class
from sam_inspect.main import app

LARGE, SMALL = mask(np.s_[2:30, 2:30]), mask(np.s_[10:20, 10:50])
APART = mask(np.s_[32:38, 2:8], np.s_[32:38, 40:50])
OBJECTS = (Object(LARGE, "dent"), Object(SMALL, "scratch"), Object(APART, "dent"))


def dots(number: int) -> list[Object]:
    places = [divmod(index, 40) for index in range(number)]
    return [Object(mask(np.s_[row : row + 1, column : column + 1]), "dent") for row, column in places]


@pytest.fixture
def images(tmp_path):
    return [
        saved(tmp_path / "in" / "a.png", *OBJECTS, group="1"),
        saved(tmp_path / "in" / "b.png", *OBJECTS[:1], group="2", seed=1),
        saved(tmp_path / "in" / "c.jpg", group="3", seed=2),
    ]


def test_panoptic_has_the_segments_that_its_definition_says(tmp_path, images):
    run(ListSource(images), "coco-panoptic", tmp_path / "out")
    folder = tmp_path / "out" / "annotations"
    content = json.loads((folder / "panoptic_train.json").read_text())
    names = {category["id"]: category["name"] for category in content["categories"]}
    assert [category["isthing"] for category in content["categories"]] == [1, 1]
    assert [image["file_name"] for image in content["images"]] == ["a.png", "b.png", "c.jpg"]
    for annotation, image in zip(content["annotations"], content["images"], strict=True):
        assert annotation["image_id"] == image["id"]
        red, green, blue = np.asarray(Image.open(folder / "panoptic_train" / annotation["file_name"])).T.astype(int)
        ids = (red + 256 * green + 256**2 * blue).T
        assert set(np.unique(ids)) - {0} == {segment["id"] for segment in annotation["segments_info"]}
        for segment in annotation["segments_info"]:
            rows, columns = np.nonzero(ids == segment["id"])
            left, top, width, height = segment["bbox"]
            assert (left, left + width, top, top + height) == (
                *(columns.min(), columns.max() + 1),
                *(rows.min(), rows.max() + 1),
            )
            assert segment["area"] == len(rows)
    labels = [[names[s["category_id"]] for s in annotation["segments_info"]] for annotation in content["annotations"]]
    assert labels == [["dent", "scratch", "dent"], ["dent"], []]


def test_more_than_255_segments_have_their_own_ids(tmp_path):
    objects = dots(320)
    run(ListSource([saved(tmp_path / "in" / "a.png", *objects)]), "coco-panoptic", tmp_path / "out")
    pixels = np.asarray(Image.open(tmp_path / "out/annotations/panoptic_train/a.png")).astype(int)
    assert (pixels @ [1, 256, 65536]).max() == 320


def test_coco_is_read_by_pycocotools_with_its_areas_and_boxes(tmp_path, images, capsys):
    for to in ("coco", "coco-polygons"):
        run(ListSource(images), to, tmp_path / to)
        coco = COCO(tmp_path / to / "annotations" / "instances_train.json")
        for entry, target in zip(coco.loadAnns(coco.getAnnIds(imgIds=[1])), OBJECTS, strict=True):
            np.testing.assert_array_equal(coco.annToMask(entry), target.mask)
            rle = coco_mask.encode(np.asfortranarray(target.mask.astype(np.uint8)))
            assert (entry["area"], entry["bbox"]) == (coco_mask.area(rle), coco_mask.toBbox(rle).tolist())


def test_datumaro_has_the_masks_as_run_lengths(tmp_path, images):
    run(ListSource(images), "datumaro", tmp_path / "out")
    content = json.loads((tmp_path / "out" / "annotations" / "train.json").read_text())
    labels = [label["name"] for label in content["categories"]["label"]["labels"]]
    assert [item["id"] for item in content["items"]] == ["a", "b", "c"]
    for entry, target in zip(content["items"][0]["annotations"], OBJECTS, strict=True):
        assert labels[entry["label_id"]] == target.label
        np.testing.assert_array_equal(coco_mask.decode(entry["rle"]), target.mask)
    assert (tmp_path / "out" / "images" / "train" / content["items"][2]["image"]["path"]).is_file()


def test_datumaro_itself_reads_the_export(tmp_path, images):
    pytest.importorskip("datumaro", reason="datumaro is not installed")
    from datumaro.components.dataset import Dataset

    run(ListSource(images), "datumaro", tmp_path / "out")
    items = {item.id: item for item in Dataset.import_from(str(tmp_path / "out"), "datumaro")}
    for annotation, target in zip(items["a"].annotations, OBJECTS, strict=True):
        np.testing.assert_array_equal(annotation.image, target.mask)


def test_voc_has_boxes_lists_and_colours(tmp_path, images):
    run(ListSource(images), "voc", tmp_path / "out", share=0.5, seed=4)
    out = tmp_path / "out"
    root = ET.fromstring((out / "Annotations" / "a.xml").read_text())
    boxes = [[int(box.findtext(side)) for side in ("xmin", "ymin", "xmax", "ymax")] for box in root.iter("bndbox")]
    # Pixels count from 1, and the last one belongs to the box. The small scratch lies on the large dent.
    assert boxes == [[3, 3, 30, 30], [11, 11, 50, 20], [3, 33, 50, 38]]
    assert [each.findtext("name") for each in root.iter("object")] == ["dent", "scratch", "dent"]
    lists = {file.stem: file.read_text().split() for file in (out / "ImageSets" / "Segmentation").iterdir()}
    assert sorted(lists.pop("trainval")) == ["a", "b", "c"]
    assert sorted(name for names in lists.values() for name in names) == ["a", "b", "c"]
    classes = Image.open(out / "SegmentationClass" / "a.png")
    assert (classes.mode, classes.getpalette()[3:9]) == ("P", [128, 0, 0, 0, 128, 0])
    assert (out / "labelmap.txt").read_text().splitlines()[1:] == [
        "background:0,0,0::",
        "dent:128,0,0::",
        "scratch:0,128,0::",
    ]


def test_labelme_groups_the_parts_of_a_mask(tmp_path, images):
    run(ListSource(images), "labelme", tmp_path / "out")
    content = json.loads((tmp_path / "out" / "train" / "a.json").read_text())
    groups = [(shape["label"], shape["group_id"]) for shape in content["shapes"]]
    assert groups == [("dent", None), ("scratch", None), ("dent", 3), ("dent", 3)]
    assert (content["imagePath"], content["imageHeight"], content["imageWidth"]) == ("a.png", *SIZE)


def test_yolo_names_a_folder_for_both_splits(tmp_path, images):
    for share, val in ((1, "images/train"), (0.5, "images/val")):
        run(ListSource(images), "yolo-seg", tmp_path / f"{share}", share=share, seed=4)
        content = yaml.safe_load((tmp_path / f"{share}" / "data.yaml").read_text())
        assert (content["train"], content["val"]) == ("images/train", val)
        assert content["names"] == {0: "dent", 1: "scratch"}


@pytest.mark.parametrize(
    ("to", "classes", "said"),
    [
        ("voc", [f"class {n}" for n in range(255)], "holds at most 254 classes; 'class 254' is one more"),
        ("voc", ["background"], "In Pascal VOC 'background' is no name of a class"),
        ("coco", ["a\ud800"], "is no text; rename it"),
        ("voc", ["a\nb"], r"'a\\nb' is none that it holds: no line breaks"),
        ("png", [" a"], "no spaces at its ends"),
        ("png", ["a: b"], "no colon"),
    ],
)
def test_classes_that_a_format_cannot_hold_are_refused_before_any_work(tmp_path, to, classes, said):
    with pytest.raises(EvaluationError, match=said):
        run(ListSource([AssertionError("an image was read")], classes), to, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_more_objects_than_voc_holds_leave_nothing(tmp_path):
    objects = dots(320)
    image = saved(tmp_path / "in" / "a.png", *objects)
    with pytest.raises(EvaluationError, match=r"a\.png has 320 objects; the format holds 254 in an image"):
        run(ListSource([image]), "voc", tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_an_unknown_format_is_named():
    with pytest.raises(EvaluationError, match=r"no export to 'yolo'; the formats are coco, .*yolo-seg"):
        writer_class("yolo")


def test_the_guide_and_the_help_name_every_format():
    guide = (Path(__file__).parents[3] / "docs" / "export-import.md").read_text("utf-8")
    rows = [line.split("`")[1] for line in guide.splitlines() if line.startswith("| `")]
    names = [card.name for card in known_formats()]
    assert rows == ["--to", *names]
    option = next(option for option in get_command(app).commands["export"].params if option.name == "to")
    assert f": {', '.join(names)}." in option.help
