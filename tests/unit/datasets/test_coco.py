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

    sample = dataset.load("a.png")

    (obj,) = sample.objects
    np.testing.assert_array_equal(obj.mask, block(SECOND))
    assert sample.left_out == {
        "crowd (iscrowd is 1)": 1,
        "object smaller than the smallest area": 1,
        "ring of fewer than three points": 1,
    }
    assert sample.examples["ring of fewer than three points"] == "annotation 3"


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
        ([], "has only a box or points; a polygon or run-lengths are needed"),
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


def test_a_category_that_is_not_named_keeps_its_number_and_is_told(tmp_path):
    save(tmp_path / "a.png", surface())
    dataset = _write(tmp_path, [[RING], [OTHER_RING]])
    _change(tmp_path, category_id=6)

    sample = dataset.load("a.png")

    assert [obj.label for obj in sample.objects] == ["category 6", "dent"]
    assert "category 6 has no name in categories" in sample.notes[0]


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
        Coco(tmp_path).load("a.png")

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


# Files of other tools and systems


def _named(folder: Path, *file_names: str) -> Coco:
    """A file that lists these images, each with one object."""
    content = {
        "images": [{"id": number, "file_name": name} for number, name in enumerate(file_names)],
        "annotations": [
            {"id": number, "image_id": number, "category_id": 1, "segmentation": [RING]}
            for number in range(len(file_names))
        ],
        "categories": [{"id": 1, "name": "dent"}],
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "a.json").write_text(json.dumps(content))
    return Coco(folder)


@pytest.mark.parametrize(
    ("written", "place", "by_name"),
    [
        ("images\\a.png", "images/a.png", False),
        ("line 2\\shift 1\\a.png", "line 2/shift 1/a.png", False),
        ("./images/a.png", "images/a.png", False),
        ("shift 1/a.png", "deep/er/shift 1/a.png", False),
        ("C:\\Users\\me\\a b.png", "images/a b.png", True),
        ("\\\\server\\share\\a.png", "a.png", True),
        ("/home/me/set/a.png", "images/a.png", True),
        ("../label/a.png", "a.png", True),
        ("/data/local-files/?d=line1%2Fa.png", "images/a.png", True),
        ("http://host:8080/data/upload/3/0a1b2c3d-a%20b.png", "images/a b.png", True),
        ("https://host/x/a.png?token=1#y", "x/a.png", False),
        ("s3://bucket/x/a.png", "images/a.png", True),
        ("50%25 a.png", "50% a.png", False),
        ("50%25 a.png", "50%25 a.png", False),
        ("100%.png", "100%.png", False),
        ("caf\u00e9/\u00fc.png", "cafe\u0301/u\u0308.png", False),
        ("cafe\u0301.png", "caf\u00e9.png", False),
        ("A.PNG", "a.png", True),
    ],
)
def test_an_image_is_found_however_its_path_is_written(tmp_path, written, place, by_name):
    save(tmp_path / "set" / place, surface())
    dataset = _named(tmp_path / "set", written)
    (name,) = dataset.names()

    sample = dataset.load(name)

    assert len(sample.objects) == 1
    assert sample.notes == (("image found by its file name, not at the path that is written",) if by_name else ())
    assert not any(part in name for part in ("\\", "..", "?", "://"))


@pytest.mark.parametrize("written", ["../secret.png", "sub/../../secret.png", "{root}/secret.png", "..\\secret.png"])
def test_no_image_outside_of_the_folder_is_read(tmp_path, written):
    save(tmp_path / "secret.png", surface())
    dataset = _named(tmp_path / "set", written.format(root=tmp_path))

    with pytest.raises(BrokenSampleError, match=r"secret\.png is neither in|outside of the data set's folder"):
        dataset.load(dataset.names()[0])


def test_no_link_out_of_the_folder_is_followed(tmp_path):
    save(tmp_path / "elsewhere/a.png", surface())
    dataset = _named(tmp_path / "set", "a.png", "images/b.png")
    (tmp_path / "set/a.png").symlink_to(tmp_path / "elsewhere/a.png")
    save(tmp_path / "elsewhere/b.png", surface())
    (tmp_path / "set/images").symlink_to(tmp_path / "elsewhere")

    for name in dataset.names():
        with pytest.raises(BrokenSampleError, match=r"outside of the data set's folder .* copy it into that folder"):
            dataset.load(name)


def test_one_file_is_never_two_images(tmp_path):
    save(tmp_path / "images/a.png", surface())
    dataset = _named(tmp_path, "images/1/a.png", "images/2/a.png")

    for name in dataset.names():
        with pytest.raises(BrokenSampleError, match="put both images at their paths"):
            dataset.load(name)


@pytest.mark.parametrize("of_annotation", ["7", 7, 7.0])
@pytest.mark.parametrize("of_image", ["7", 7])
def test_ids_are_the_same_as_text_and_as_number(tmp_path, of_image, of_annotation):
    save(tmp_path / "a.png", surface())
    dataset = _write(tmp_path, [[RING]], id=of_image)
    _change(tmp_path, image_id=of_annotation, category_id="5")

    assert [obj.label for obj in dataset.load("a.png").objects] == ["dent"]


def test_what_belongs_to_no_image_is_counted(tmp_path):
    content = {
        "images": [{"id": 1, "file_name": "a.png"}, {"id": 1, "file_name": "a.png"}, {"id": 3}, {"id": None}],
        "annotations": [{"image_id": 99}, {"image_id": 98}, {"image_id": 99}, {}, 7, {"image_id": 1}],
    }
    (tmp_path / "a.json").write_text(json.dumps(content))

    assert Coco(tmp_path).left_out() == {
        "image that is listed twice": 1,
        "image without a file name, with its annotations": 1,
        "entry of images that is not as the format says, with its annotations": 1,
        "annotation of an image that is not listed (image_id 99, 98)": 3,
        "annotation without an image_id": 2,
    }


@pytest.mark.parametrize(
    "segmentation",
    [RING, [[3, 2], [8, 2], [8, 8], [3, 8]], [[[3, 2], [8, 2], [8, 8], [3, 8]]], [[str(value) for value in RING]]],
    ids=["flat", "pairs", "ring of pairs", "texts"],
)
def test_a_polygon_is_read_however_it_is_nested(tmp_path, segmentation):
    save(tmp_path / "a.png", surface())

    (obj,) = _write(tmp_path, [segmentation]).load("a.png").objects

    np.testing.assert_array_equal(obj.mask, block(FIRST))


@pytest.mark.parametrize(
    ("odd", "reason"),
    [
        ([], "box or point without a mask"),
        (None, "box or point without a mask"),
        ("[[3, 2]]", "segmentation of an unknown kind"),
        ([[3, 2, 8, 2, 8, float("nan")]], "polygon that is not x, y, x, y, …"),
        ([[3, 2, 8, 2, 8, None]], "polygon that is not x, y, x, y, …"),
        ([[3, 2, 8, 2, 8, 10**400]], "polygon that is not x, y, x, y, …"),
        ([[3, 2, 8, 2, 8, 1e9]], "polygon far outside its image"),
        ([[3, 2, 8, 2]], "ring of fewer than three points"),
        ([[60, 2, 64, 2, 62, 8]], "mask or outline without any pixel of the image"),
        (_rle(block(FIRST)[:-1]), "run-lengths of an image of another size"),
        (
            {"size": [HEIGHT, WIDTH], "counts": [100, 20000]},
            "run-lengths that do not add up to the pixels of the image",
        ),
        (
            {"size": [HEIGHT, WIDTH], "counts": "o" * 2_000_000},
            "run-lengths that do not add up to the pixels of the image",
        ),
        ({"size": [HEIGHT, WIDTH], "counts": "b'PPPP'"}, "run-lengths written as Python's text of bytes"),
        ({"size": [HEIGHT, WIDTH]}, "run-lengths that are not as the format says"),
    ],
)
def test_one_odd_annotation_costs_that_annotation_and_not_its_image(tmp_path, odd, reason):
    save(tmp_path / "a.png", surface())

    sample = _write(tmp_path, [[RING], odd]).load("a.png")

    (obj,) = sample.objects
    np.testing.assert_array_equal(obj.mask, block(FIRST))
    assert sample.left_out == {reason: 1}


def test_an_odd_ring_costs_that_ring(tmp_path):
    save(tmp_path / "a.png", surface())

    sample = _write(tmp_path, [[[1, 1, 9, 9], RING, [5, 5, 6]]]).load("a.png")

    np.testing.assert_array_equal(sample.objects[0].mask, block(FIRST))
    assert sample.left_out == {"ring of fewer than three points": 1, "polygon that is not x, y, x, y, …": 1}


def test_an_annotation_that_is_listed_twice_is_one_object(tmp_path):
    save(tmp_path / "a.png", surface())
    dataset = _write(tmp_path, [[RING], [RING]])
    file = tmp_path / "annotations/instances.json"
    file.write_text(file.read_text().replace('"id": 1', '"id": 0'))

    sample = dataset.load("a.png")

    assert len(sample.objects) == 1
    assert sample.left_out == {"annotation that is listed twice": 1}


def test_an_image_of_crowds_alone_is_no_image_without_objects(tmp_path):
    save(tmp_path / "a.png", surface())
    dataset = _write(tmp_path, [_rle(block(FIRST))])
    _change(tmp_path, iscrowd=1)

    with pytest.raises(BrokenSampleError, match=r"Annotation 0 of .* is a crowd"):
        dataset.load("a.png")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_a_byte_order_mark_says_the_encoding(tmp_path, encoding):
    _write(tmp_path, [[RING]])
    file = tmp_path / "annotations/instances.json"
    file.write_text(file.read_text(), encoding=encoding)

    assert Coco(tmp_path).names() == ["a.png"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b'{"a": 1}\n{"a": 2}\n', "is JSON Lines"),
        (b'[{"image_id": 1, "category_id": 1, "score": 0.5}]', "a list of results, the predictions of a model"),
        (b'{"images": {}, "annotations": []}', "images should be lists. It has images, annotations"),
        (b'{"images": [], "annotations": [{"segments_info": []}]}', "COCO's panoptic format"),
        (b'{"images": [], "images": [], "annotations": []}', "names 'images' twice in one object"),
        ('{"images": "caf\u00e9"}'.encode("cp1252"), "cannot be read as UTF-8: byte 0xe9 in line 1.*Windows-1252"),
        ('{"images": []}'.encode("utf-16-le"), "UTF-16 without a byte order mark"),
        (
            b'{"images": [{"id": 1, "file_name": "a"}, {"id": "1", "file_name": "b"}], "annotations": []}',
            "gives the id 1 to a and to b",
        ),
        (
            b'{"images": [], "annotations": [], "categories": [{"id": 1, "name": "a"}, {"id": 1, "name": "b"}]}',
            "category id 1 to 'a' and to 'b'",
        ),
    ],
)
def test_the_message_says_what_the_file_is(tmp_path, content, message):
    (tmp_path / "a.json").write_bytes(content)

    with pytest.raises(EvaluationError, match=message):
        Coco(tmp_path).names()


def test_half_of_a_character_in_a_text_is_an_error_of_the_file(tmp_path):
    _write(tmp_path, [[RING]], file_name="crack \U0001f600.png")
    assert list(Coco(tmp_path).names()) == ["crack \U0001f600.png"]
    _write(tmp_path, [[RING]], file_name="crack \ud83d.png")
    with pytest.raises(EvaluationError, match=r"instances.json has half of a character \(\\ud83d\)"):
        Coco(tmp_path).names()
