"""Boxes in files become a data set of masks that the readers of data sets read."""

import itertools
import json
from collections import Counter

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from colour_segmenter import ColourSegmenter, surface
from mask_files import real_data, save
from sam_backend.files import write_whole
from sam_backend.masks import mask_iou
from sam_backend.progress import no_progress
from sam_backend.samples import Object
from sam_backend.segmenters.model_registry import load_segmenter
from sam_evaluation.box_conversion import BoxFiles
from sam_evaluation.datasets.registry import DatasetSpec
from sam_evaluation.errors import EvaluationError
from sam_evaluation.left_out import reasons
from sam_evaluation.protocols.simulated_clicks import tight_box

RED, GREEN = (10, 20), (90, 60)
HEIGHT, WIDTH = 120, 160


class StoppedError(Exception):
    pass


class StoppingSegmenter(ColourSegmenter):
    """Breaks off at its third image."""

    def encode(self, image):
        if self.encoded == 2:
            raise StoppedError
        return super().encode(image)


def truth(place):
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[place[1] : place[1] + 24, place[0] : place[0] + 24] = True
    return mask


def annotation(number, image, bbox, category=4, **fields):
    return {"id": number, "image_id": image, "bbox": bbox, "category_id": category, **fields}


def write_coco(folder, images=1, annotations=()):
    pixels, _ = surface(0, red=[RED], green=[GREEN])
    for number in range(images):
        save(folder / "images" / f"{number}.png", pixels)
    content = {
        "info": {"year": 2026},
        "images": [{"id": 70 + number, "file_name": f"{number}.png", "license": 2} for number in range(images)],
        "annotations": annotations
        or [annotation(9 + number, 70 + number, [8, 18, 28, 28], score=0.1) for number in range(images)],
        "categories": [{"id": 4, "name": "red"}, {"id": 6, "name": "green", "supercategory": "spot"}],
    }
    (folder / "boxes.json").write_text(json.dumps(content))
    return DatasetSpec.parse(f"coco:{folder}")


def row(category, place):
    x, y = (place[0] + 12) / WIDTH, (place[1] + 12) / HEIGHT
    return f"{category} {x:.6f} {y:.6f} {26 / WIDTH:.6f} {26 / HEIGHT:.6f}"


def write_yolo(folder, rows, images=1):
    pixels, _ = surface(0, red=[RED], green=[GREEN])
    for number in range(images):
        save(folder / "images/train" / f"{number}.png", pixels)
        (folder / "labels/train").mkdir(parents=True, exist_ok=True)
        (folder / "labels/train" / f"{number}.txt").write_text("\n".join(rows))
    (folder / "data.yaml").write_text("names: [red, green]\n")
    return DatasetSpec.parse(f"yolo:{folder}@train")


def read(text):
    dataset = DatasetSpec.parse(text).open()
    return {name: dataset.load(name) for name in dataset.names()}


def told(done):
    return [str(reason) for reason in reasons(done.left_out)]


def test_a_box_of_coco_becomes_a_mask_with_what_was_known_of_it(tmp_path):
    polygon = [GREEN[0], GREEN[1], GREEN[0] + 24, GREEN[1], GREEN[0] + 24, GREEN[1] + 24, GREEN[0], GREEN[1] + 24]
    spec = write_coco(
        tmp_path / "boxes",
        2,
        [
            annotation(9, 70, [8, 18, 28, 28], attributes={"line": 3}, segmentation=[]),
            annotation(11, 70, [90, 60, 24, 24], 6, segmentation=[polygon]),
        ],
    )
    done = BoxFiles(spec, ColourSegmenter()).convert(tmp_path / "masks", no_progress)

    assert (done.images, done.masks, done.kept) == (2, 1, 1)
    samples = read(f"coco:{tmp_path / 'masks'}")
    assert sorted(samples) == ["0.png", "1.png"]
    assert samples["1.png"].objects == ()
    masks = {one.label: one.mask for one in samples["0.png"].objects}
    np.testing.assert_array_equal(masks["red"], truth(RED))
    np.testing.assert_array_equal(masks["green"], truth(GREEN))
    content = json.loads((tmp_path / "masks/annotations/instances.json").read_text())
    source = json.loads((tmp_path / "boxes/boxes.json").read_text())
    assert content["categories"] == source["categories"]
    assert content["info"] == source["info"]
    assert content["images"][0] == {**source["images"][0], "width": WIDTH, "height": HEIGHT}
    made = next(one for one in content["annotations"] if one["id"] == 9)
    assert made["attributes"] == {"line": 3}
    assert made["bbox"] == [8, 18, 28, 28]
    assert made["area"] == 24 * 24 == coco_mask.area(made["segmentation"])
    assert made["score"] == pytest.approx(24 * 24 / 28**2, abs=1e-4)
    assert next(one for one in content["annotations"] if one["id"] == 11) == source["annotations"][1]


def test_what_is_no_box_of_an_image_is_counted_by_its_reason(tmp_path):
    good = annotation(1, 70, [8, 18, 28, 28])
    odd = [
        annotation(2, 70, [200, 10, 20, 20]),
        annotation(3, 70, [20, 20, 0, 10]),
        annotation(4, 70, [20, 20, 10, 10], 5),
        annotation(5, 70, None),
        annotation(6, 70, [150, 100, 40, 40]),
        annotation(7, 71, [300, 300, 5, 5]),
        annotation(8, 72, [8, 18, 28, 28]),
        annotation(9, 99, [8, 18, 28, 28]),
        annotation(10, 70, [20, 20, 1e-9, 10]),
        annotation(11, 70, [20, 20, 10**400, 10]),
    ]
    spec = write_coco(tmp_path / "boxes", 3, [good, *odd])
    (tmp_path / "boxes/images/2.png").unlink()
    done = BoxFiles(spec, ColourSegmenter()).convert(tmp_path / "masks", no_progress)

    assert (done.images, done.masks) == (1, 2)
    sentences = told(done)
    for reason in (
        "box outside its image; first: 0.png, annotation 2",
        "box without an area; first: 0.png, annotation 3",
        "box of an unknown class (5); first: 0.png, annotation 4",
        "box that is not of four numbers; first: 0.png, annotation 5",
        "annotation of an image that is not listed (image_id 99)",
    ):
        assert sum(reason in sentence for sentence in sentences) == 1, (reason, sentences)
    assert sum("2 left out" in sentence for sentence in sentences) == 2
    # An image whose boxes are all unusable is no image without objects.
    broken = dict(zip(done.broken["sample"], done.broken["reason"], strict=True))
    assert "box outside its image of 160 x 120" in broken["1.png"]
    assert "2.png is neither in" in broken["2.png"]
    assert sorted(read(f"coco:{tmp_path / 'masks'}")) == ["0.png"]
    assert (tmp_path / "masks/left_out.csv").read_text().count("\n") == 6
    assert (tmp_path / "masks/broken.csv").read_text().count("\n") == 3


def test_boxes_of_yolo_become_polygons_of_yolo_and_run_lengths_of_coco(tmp_path):
    rows = [row(0, RED), row(1, GREEN) + " 0.87", row(7, RED), "0 0.1 0.1 0.2 0.1 0.2 0.2", ""]
    spec = write_yolo(tmp_path / "boxes", rows)
    done = BoxFiles(spec, ColourSegmenter()).convert(tmp_path / "masks", no_progress)

    labels = tmp_path / "boxes/labels/train/0.txt"
    assert (done.images, done.masks) == (1, 2)
    assert [sentence.partition(": ")[2] for sentence in told(done)] == [
        f"1 left out in 1 image: box of an unknown class (7); first: 0.png, Row 3 of {labels}.",
        f"1 left out in 1 image: row that is no box; first: 0.png, Row 4 of {labels}.",
    ]
    for text in (f"yolo:{tmp_path / 'masks'}@train", f"coco:{tmp_path / 'masks'}"):
        (sample,) = read(text).values()
        assert not sample.notes
        assert Counter(one.label for one in sample.objects) == {"red": 1, "green": 1}
        for one, place in zip(sample.objects, (RED, GREEN), strict=True):
            np.testing.assert_array_equal(one.mask, truth(place))


def test_a_conversion_that_broke_off_goes_on_and_gives_the_same_files(tmp_path):
    spec = write_coco(tmp_path / "boxes", 4)
    with pytest.raises(StoppedError):
        BoxFiles(spec, StoppingSegmenter()).convert(tmp_path / "masks", no_progress)
    assert not (tmp_path / "masks/annotations").exists()

    again, whole = ColourSegmenter(), ColourSegmenter()
    BoxFiles(spec, again).convert(tmp_path / "masks", no_progress)
    BoxFiles(spec, whole).convert(tmp_path / "at once", no_progress)

    assert (again.encoded, whole.encoded) == (2, 4)
    files = [tmp_path / folder / "annotations/instances.json" for folder in ("masks", "at once")]
    assert files[0].read_bytes() == files[1].read_bytes()
    other = ColourSegmenter("colour-2")
    BoxFiles(spec, other).convert(tmp_path / "masks", no_progress)
    assert other.encoded == 4, "masks of another model are no part of this data set"


@pytest.mark.parametrize("damage", [b"", b"{bad", b"[1]", b"{}"])
def test_an_image_whose_part_is_damaged_is_converted_again(tmp_path, damage):
    boxes, out = BoxFiles(write_coco(tmp_path / "boxes", 2), ColourSegmenter()), tmp_path / "masks"
    boxes.convert(out, no_progress)
    whole = {file: file.read_bytes() for file in out.rglob("*.json")}
    next(out.glob("parts/*/000001.json")).write_bytes(damage)
    old = out / "parts" / "another model" / "000000.json"
    write_whole(old, damage)
    boxes.convert(out, no_progress)
    old.unlink()
    assert {file: file.read_bytes() for file in out.rglob("*.json")} == whole


def test_a_folder_that_holds_other_files_is_not_written(tmp_path):
    spec = write_coco(tmp_path / "boxes")
    boxes = BoxFiles(spec, ColourSegmenter())
    for out in ("boxes/masks", "boxes"):
        with pytest.raises(EvaluationError, match=r"(lies within|holds) the data set"):
            boxes.convert(tmp_path / out, no_progress)
    boxes.convert(tmp_path / "masks", no_progress)
    converted = DatasetSpec.parse(f"coco:{tmp_path / 'masks/annotations/instances.json'}")
    with pytest.raises(EvaluationError, match="holds the data set"):
        BoxFiles(converted, ColourSegmenter()).convert(tmp_path / "masks", no_progress)
    (tmp_path / "full").mkdir()
    (tmp_path / "full/notes.txt").write_text("mine")
    with pytest.raises(EvaluationError, match="holds other files"):
        boxes.convert(tmp_path / "full", no_progress)
    with pytest.raises(EvaluationError, match="Boxes are read of coco and yolo; got masks"):
        BoxFiles(DatasetSpec.parse(f"masks:{tmp_path / 'boxes'}"), ColourSegmenter())


@pytest.mark.parametrize("write", [write_coco, lambda folder: write_yolo(folder, [row(0, RED)])], ids=["coco", "yolo"])
def test_a_data_set_of_which_no_image_can_be_used_is_an_error(write, tmp_path):
    spec = write(tmp_path / "boxes")
    image = next((tmp_path / "boxes").rglob("*.png"))
    image.write_text("no image")
    with pytest.raises(EvaluationError, match=r"0 of 1 images can be used\. The first is 0.png: .*no"):
        BoxFiles(spec, ColourSegmenter()).convert(tmp_path / "masks", no_progress)
    with pytest.raises(EvaluationError, match="0 of 1 images"):
        list(BoxFiles(spec, ColourSegmenter()).preview(9, no_progress, []))


def test_a_repeated_conversion_leaves_nothing_of_what_the_data_set_was_before(tmp_path):
    spec = write_yolo(tmp_path / "boxes", [row(0, RED)], 4)
    BoxFiles(spec, ColourSegmenter()).convert(tmp_path / "masks", no_progress)
    (tmp_path / "boxes/images/train/0.png").unlink()
    (tmp_path / "boxes/labels/train/1.txt").write_text("")
    other, _ = surface(0, red=[RED])
    (tmp_path / "boxes/images/train/2.png").unlink()
    save(tmp_path / "boxes/images/train/2.png", other)
    (tmp_path / "boxes/labels/train/3.txt").write_text(row(7, RED))
    (tmp_path / "masks/images/train/mine.png").write_text("not of the conversion")

    done = BoxFiles(spec, ColourSegmenter()).convert(tmp_path / "masks", no_progress)
    assert (done.images, len(done.broken)) == (2, 1)
    masks = tmp_path / "masks"
    assert sorted(file.name for file in (masks / "images/train").iterdir()) == ["1.png", "2.png", "mine.png"]
    assert [file.name for file in (masks / "labels/train").iterdir()] == ["2.txt"]
    assert (masks / "images/train/2.png").read_bytes() == (tmp_path / "boxes/images/train/2.png").read_bytes()


def test_a_preview_shows_the_first_images_with_boxes_and_writes_nothing(tmp_path):
    spec = write_coco(tmp_path / "boxes", 4, [annotation(n, 70 + n, [8, 18, 28, 28]) for n in (1, 2, 3)])
    (tmp_path / "boxes/images/0.png").unlink()
    broken = []
    shown = list(BoxFiles(spec, ColourSegmenter()).preview(2, no_progress, broken))
    assert [sentence.partition(" is neither")[0] for sentence in broken] == ["0.png: The image 0.png"]
    assert [image.name for image, _ in shown] == ["1.png", "2.png"]
    np.testing.assert_array_equal(shown[0][1][0][0].mask, truth(RED))
    assert [path.name for path in tmp_path.iterdir()] == ["boxes"]


def boxed_files(folder, objects, name, pixels):
    """Write the boxes of an image's true masks as COCO and as YOLO."""
    height, width = pixels.shape[:2]
    boxes = [tight_box(one.mask) for one in objects]
    save(folder / "coco" / name, pixels)
    save(folder / "yolo/images/val" / name, pixels)
    (folder / "yolo/data.yaml").write_text("names: [defect]\n")
    sides = [(x0, y0, x1 - x0, y1 - y0) for x0, y0, x1, y1 in (box.tolist() for box in boxes)]
    rows = [f"0 {(x + w / 2) / width} {(y + h / 2) / height} {w / width} {h / height}" for x, y, w, h in sides]
    labels = folder / "yolo/labels/val" / name
    labels.parent.mkdir(parents=True, exist_ok=True)
    labels.with_suffix(".txt").write_text("\n".join(rows))
    return sides


def test_the_boxes_of_real_defects_become_masks_near_the_true_ones(tmp_path):
    dataset = DatasetSpec.parse(f"magnetic_tile:{real_data('magnetic_tile')}").open()
    samples = [sample for name in list(dataset.names())[::60] if (sample := dataset.load(name)).objects][:4]
    images, annotations = [], []
    truths: dict[str, list[Object]] = {}
    for number, sample in enumerate(samples):
        name = f"{number}.png"
        truths[name] = list(sample.objects)
        images.append({"id": number, "file_name": name})
        for bbox in boxed_files(tmp_path, sample.objects, name, sample.image):
            annotations.append(annotation(len(annotations), number, bbox, 0))
    content = {"images": images, "annotations": annotations, "categories": [{"id": 0, "name": "defect"}]}
    (tmp_path / "coco/boxes.json").write_text(json.dumps(content))
    model = load_segmenter("nano", threads=1)
    means = {}
    for kind in ("coco", "yolo"):
        BoxFiles(DatasetSpec.parse(f"{kind}:{tmp_path / kind}"), model).convert(tmp_path / f"{kind}-masks", no_progress)
        read_again = read(f"{kind}:{tmp_path / f'{kind}-masks'}")
        ious = [
            mask_iou(made.mask, true.mask)
            for name, objects in truths.items()
            for made, true in zip(read_again[name].objects, objects, strict=True)
        ]
        means[kind] = float(np.mean(ious))
    filled = np.mean([one.cropped.area / one.cropped.part.size for one in itertools.chain(*truths.values())])
    assert means["coco"] > filled
    assert abs(means["yolo"] - means["coco"]) < 0.02
