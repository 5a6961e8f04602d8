import json
from pathlib import Path

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from mask_files import FIRST, HEIGHT, SECOND, WIDTH, block, save, surface
from sam_evaluation.datasets.coco import Coco
from sam_evaluation.datasets.objects import ObjectRule
from sam_evaluation.errors import BrokenSampleError, EvaluationError

RING = [3, 2, 8, 2, 8, 8, 3, 8]
OTHER_RING = [20, 12, 28, 12, 28, 18, 20, 18]


def _rle(mask: np.ndarray) -> dict:
    rle = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": rle["size"], "counts": rle["counts"].decode()}


def _counts(mask: np.ndarray) -> dict:
    flat = np.concatenate([[False], mask.ravel(order="F")])
    starts = np.flatnonzero(flat[1:] != flat[:-1])
    return {"size": [HEIGHT, WIDTH], "counts": np.diff([0, *starts, mask.size]).tolist()}


def _write(folder: Path, segmentations: list, where: str = "annotations/instances.json", **image: object) -> Coco:
    annotations = [
        {"id": number, "image_id": 7, "category_id": 5, "segmentation": segmentation}
        for number, segmentation in enumerate(segmentations)
    ]
    entry = {"id": 7, "file_name": "a.png", "width": WIDTH, "height": HEIGHT} | image
    content = {"images": [entry], "annotations": annotations, "categories": [{"id": 5, "name": "dent"}]}
    (folder / where).parent.mkdir(parents=True, exist_ok=True)
    (folder / where).write_text(json.dumps(content))
    return Coco(folder)


def _change(folder: Path, **fields: object) -> None:
    file = folder / "annotations/instances.json"
    content = json.loads(file.read_text())
    content["annotations"][0] |= fields
    file.write_text(json.dumps(content))


@pytest.mark.parametrize(
    "segmentation", [[RING], _rle(block(FIRST)), _counts(block(FIRST))], ids=["polygon", "compressed", "counts"]
)
def test_every_kind_of_segmentation_gives_its_pixels(tmp_path, segmentation):
    save(tmp_path / "a.png", surface())

    sample = _write(tmp_path, [segmentation]).load("a.png")

    assert sample.name == "a.png"
    np.testing.assert_array_equal(sample.image, surface())
    (obj,) = sample.objects
    assert obj.label == "dent"
    np.testing.assert_array_equal(obj.mask, block(FIRST))


def test_an_annotation_of_several_polygons_is_one_object(tmp_path):
    save(tmp_path / "a.png", surface())

    (obj,) = _write(tmp_path, [[RING, OTHER_RING]]).load("a.png").objects

    np.testing.assert_array_equal(obj.mask, block(FIRST) | block(SECOND))


@pytest.mark.parametrize("density", [0.03, 0.5, 0.97])
def test_compressed_run_lengths_decode_whatever_their_runs(tmp_path, density):
    save(tmp_path / "a.png", surface())
    mask = np.random.default_rng(0).random((HEIGHT, WIDTH)) < density

    (obj,) = _write(tmp_path, [_rle(mask)]).load("a.png").objects

    np.testing.assert_array_equal(obj.mask, mask)


def test_touching_annotations_stay_two_objects(tmp_path):
    save(tmp_path / "a.png", surface())

    assert len(_write(tmp_path, [[RING], [[8, 2, 14, 2, 14, 8, 8, 8]]]).load("a.png").objects) == 2


def test_crowds_small_objects_and_rings_without_area_are_left_out(tmp_path):
    save(tmp_path / "a.png", surface())
    dataset = _write(tmp_path, [_rle(block(FIRST)), [OTHER_RING], [[1, 1, 3, 1, 3, 3, 1, 3]], [[1, 1, 9, 9]]])
    _change(tmp_path, iscrowd=1)

    (obj,) = dataset.load("a.png").objects

    np.testing.assert_array_equal(obj.mask, block(SECOND))


def test_the_least_area_is_of_the_whole_annotation(tmp_path):
    save(tmp_path / "a.png", surface())
    dataset = _write(tmp_path, [[RING, OTHER_RING]])

    assert len(Coco(tmp_path, ObjectRule(min_area=78)).load("a.png").objects) == 1
    assert not Coco(tmp_path, ObjectRule(min_area=79)).load("a.png").objects
    assert dataset.names() == ["a.png"]


def test_an_image_without_annotations_has_no_objects(tmp_path):
    save(tmp_path / "a.png", surface())

    assert _write(tmp_path, []).load("a.png").objects == ()


@pytest.mark.parametrize("where", ["annotations/instances.json", "_annotations.coco.json"])
@pytest.mark.parametrize("image", ["a.png", "images/a.png", "val2017/a.png", "images/val/a.png"])
def test_images_are_found_where_data_sets_keep_them(tmp_path, where, image):
    save(tmp_path / image, surface())

    _write(tmp_path, [[RING]], where)

    assert len(Coco(tmp_path).load("a.png").objects) == 1
    assert len(Coco(tmp_path / where).load("a.png").objects) == 1


def test_a_file_name_with_folders_is_kept(tmp_path):
    save(tmp_path / "line 3/a.png", surface())
    save(tmp_path / "line 4/a.png", surface(4))

    sample = _write(tmp_path, [[RING]], file_name="line 4/a.png").load("line 4/a.png")

    np.testing.assert_array_equal(sample.image, surface(4))


def test_names_are_sorted_and_read_no_image(tmp_path):
    content = {"images": [{"id": n, "file_name": f"{n}.png"} for n in (3, 1, 2)], "annotations": [], "categories": []}
    (tmp_path / "a.json").write_text(json.dumps(content))

    assert Coco(tmp_path).names() == ["1.png", "2.png", "3.png"]


@pytest.mark.parametrize(
    ("segmentation", "message"),
    [
        ([], "has only a box; a polygon or run lengths are needed"),
        ([[*RING, 4]], "not x, y, x, y"),
        ([[3, 2, 8, 2, 8, 1e9]], "within the image of 32 x 24"),
        (_rle(block(FIRST)[:-1]), "of 32 x 23 pixels, its image 32 x 24"),
        ({"size": [HEIGHT, WIDTH], "counts": [5, 3]}, "do not add up to its image's 768 pixels"),
        ({"size": [HEIGHT, WIDTH], "counts": _rle(block(FIRST))["counts"][:-1]}, "do not add up"),
        ({"size": [HEIGHT, WIDTH], "counts": "PPPP"}, "do not add up"),
        ({"size": [HEIGHT, WIDTH], "counts": ""}, "do not add up"),
        ({"size": [HEIGHT, WIDTH]}, "Annotation 0 of .* is not as its format says at .*counts"),
        ("oops", "Annotation 0 of .* is not as its format says"),
    ],
)
def test_a_broken_segmentation_names_its_annotation(tmp_path, segmentation, message):
    save(tmp_path / "a.png", surface())
    dataset = _write(tmp_path, [segmentation])

    with pytest.raises(BrokenSampleError, match=message):
        dataset.load("a.png")


def test_a_category_that_is_not_named_is_reported(tmp_path):
    save(tmp_path / "a.png", surface())
    dataset = _write(tmp_path, [[RING]])
    _change(tmp_path, category_id=6)

    with pytest.raises(BrokenSampleError, match="has the category 6, which is not in categories"):
        dataset.load("a.png")


def test_an_image_of_another_size_than_annotated_is_refused(tmp_path):
    save(tmp_path / "a.png", surface()[:, :-1])

    with pytest.raises(BrokenSampleError, match="is 31 x 24 pixels, but was annotated at 32 x 24"):
        _write(tmp_path, [[RING]]).load("a.png")


def test_a_missing_an_unreadable_and_an_ambiguous_image_are_reported(tmp_path):
    dataset = _write(tmp_path, [[RING]])
    with pytest.raises(BrokenSampleError, match=r"image a\.png is neither in"):
        dataset.load("a.png")

    save(tmp_path / "train/a.png", surface())
    save(tmp_path / "val/a.png", surface())
    with pytest.raises(BrokenSampleError, match=r"a\.png is in several folders .*train, .*val"):
        dataset.load("a.png")

    (tmp_path / "a.png").write_bytes(b"no image")
    with pytest.raises(BrokenSampleError, match="not an image"):
        dataset.load("a.png")

    with pytest.raises(BrokenSampleError, match=r"has no image b\.png"):
        dataset.load("b.png")


def test_a_folder_without_annotations_names_the_layout(tmp_path):
    with pytest.raises(EvaluationError, match=r"no annotation file .* Expected: annotations/\*\.json"):
        Coco(tmp_path).names()


def test_of_several_annotation_files_one_must_be_named(tmp_path):
    _write(tmp_path, [], "annotations/train.json")
    _write(tmp_path, [], "annotations/val.json")

    with pytest.raises(EvaluationError, match=r"several annotation files \(train\.json, val\.json\)"):
        Coco(tmp_path).names()
    assert Coco(tmp_path / "annotations/val.json").names() == ["a.png"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not valid JSON"),
        ("[]", "needs images, annotations and categories"),
        ('{"images": [], "annotations": [], "categories": []}', "Expected: annotations"),
        ('{"images": [{}], "annotations": [], "categories": []}', r"images of .* at '0\.id'"),
        ('{"images": [], "annotations": [{}], "categories": []}', "no image_id"),
        (
            '{"images": [{"id": 1, "file_name": "a"}, {"id": 2, "file_name": "a"}],"annotations": [],"categories": []}',
            "2 images of the file name 'a'",
        ),
    ],
)
def test_a_file_of_another_kind_is_refused(tmp_path, text, message):
    (tmp_path / "a.json").write_text(text)

    with pytest.raises(EvaluationError, match=message):
        Coco(tmp_path).names()
