import json
from pathlib import Path

import numpy as np
import pytest

from exported_regions import OTHER_CORNERS, box, brush, polygon, region
from mask_files import FIRST, HEIGHT, SECOND, WIDTH, block, save, surface
from sam_evaluation.datasets.label_studio import LabelStudio
from sam_evaluation.errors import BrokenSampleError, EvaluationError


def _task(number: int, *annotations: dict, image: str = "/data/upload/3/0a1b2c3d-a.png", **data: object) -> dict:
    return {"id": number, "data": {"image": image, **data}, "annotations": list(annotations), "predictions": []}


def _annotation(*regions: dict, **fields: object) -> dict:
    return {"id": 1, "was_cancelled": False, "result": list(regions), "updated_at": "2025-01-01T00:00:00Z", **fields}


def _write(folder: Path, *tasks: dict, image: str = "a.png") -> LabelStudio:
    save(folder / image, surface())
    (folder / "export.json").write_text(json.dumps(tasks))
    return LabelStudio(folder)


def test_every_region_is_an_object_of_its_label(tmp_path):
    regions = polygon(), brush(block(SECOND)) | {"id": "x2"}, box(8, 2, 6, 6) | {"id": "x3"}
    dataset = _write(tmp_path, _task(5, _annotation(*regions)))

    assert dataset.names() == ["5/0a1b2c3d-a.png"]
    sample = dataset.load("5/0a1b2c3d-a.png")

    np.testing.assert_array_equal(sample.image, surface())
    assert [found.label for found in sample.objects] == ["dent"] * 3
    for found, where in zip(sample.objects, (FIRST, SECOND, np.s_[2:8, 8:14]), strict=True):
        np.testing.assert_array_equal(found.mask, block(where))


def test_a_task_that_cannot_be_read_costs_itself_and_is_counted(tmp_path):
    dataset = _write(tmp_path, {"id": None, "data": [], "annotations": []}, _task(5, _annotation(polygon())))

    assert dataset.names() == ["5/0a1b2c3d-a.png"]
    assert dataset.left_out()["task that cannot be read"] == 1


def test_results_of_one_id_are_one_object(tmp_path):
    regions = (
        polygon(kind="polygon", label=None),
        polygon(kind="labels", label="scratch"),
        region("choices", None, choices=["deep"]),
    )

    (found,) = _write(tmp_path, _task(5, _annotation(*regions))).load("5/0a1b2c3d-a.png").objects

    assert found.label == "scratch"
    np.testing.assert_array_equal(found.mask, block(FIRST))


def test_small_regions_are_left_out_and_those_without_a_label_are_not(tmp_path):
    regions = box(1, 1, 4, 4), polygon(OTHER_CORNERS, "polygon", None) | {"id": "x2"}

    (found,) = _write(tmp_path, _task(5, _annotation(*regions))).load("5/0a1b2c3d-a.png").objects

    assert found.label == "unlabelled"


def test_of_a_tasks_annotations_the_newest_not_cancelled_counts(tmp_path):
    annotations = (
        _annotation(polygon(label="old"), updated_at="2025-01-01T00:00:00Z", id=9),
        _annotation(polygon(label="new"), updated_at="2025-03-01T00:00:00Z"),
        _annotation(polygon(label="skipped"), updated_at="2025-04-01T00:00:00Z", was_cancelled=True),
        _annotation(polygon(label="middle"), updated_at="2025-02-01T00:00:00Z"),
    )

    (found,) = _write(tmp_path, _task(5, *annotations)).load("5/0a1b2c3d-a.png").objects

    assert found.label == "new"


def test_tasks_without_annotations_are_left_out_and_empty_annotations_are_not(tmp_path):
    dataset = _write(tmp_path, _task(1), _task(2, _annotation(was_cancelled=True)), _task(3, _annotation()))

    assert dataset.names() == ["3/0a1b2c3d-a.png"]
    assert dataset.load("3/0a1b2c3d-a.png").objects == ()


@pytest.mark.parametrize(
    ("url", "file"),
    [
        ("/data/upload/3/0a1b2c3d-a.png", "0a1b2c3d-a.png"),
        ("/data/upload/3/0a1b2c3d-a.png", "deep/er/a.png"),
        ("http://localhost:8080/data/upload/3/0a1b2c3d-my_part_1.png", "my part (1).png"),
        ("/data/local-files/?d=line%203/a%20b.png", "line 3/a b.png"),
        ("/data/local-files?d=line 3/a.png", "a.png"),
        ("s3://bucket/parts/a.png", "parts/a.png"),
        ("https://host/a.png?signature=1#x", "a.png"),
        ("/data/local-files/?d=C%3A%5Cline%203%5Ca.png", "line 3/a.png"),
        ("/data/upload/3/0a1b2c3d-caf\u00e9.png", "cafe\u0301.png"),
        ("/data/upload/3/50%25.png", "50%.png"),
    ],
)
def test_an_image_is_found_by_what_its_address_says(tmp_path, url, file):
    dataset = _write(tmp_path, _task(5, _annotation(polygon()), image=url), image=file)

    (name,) = dataset.names()
    assert len(dataset.load(name).objects) == 1


def test_of_images_of_one_name_that_of_the_same_folder_counts(tmp_path):
    save(tmp_path / "line 4/a.png", surface(4))
    url = "/data/local-files/?d=parts/line 4/a.png"

    sample = _write(tmp_path, _task(5, _annotation(), image=url), image="line 3/a.png").load("5/a.png")

    np.testing.assert_array_equal(sample.image, surface(4))


def test_export_and_images_may_be_given(tmp_path):
    _write(tmp_path / "export", _task(5, _annotation(polygon())), image="../images/a.png")

    dataset = LabelStudio(tmp_path / "export/export.json", images=tmp_path / "images")

    assert len(dataset.load("5/0a1b2c3d-a.png").objects) == 1


def test_of_several_images_the_one_called_image_counts(tmp_path):
    save(tmp_path / "b.png", surface(1))
    dataset = _write(tmp_path, _task(5, _annotation(), reference="b.png", note="see c", page="d.html"))
    np.testing.assert_array_equal(dataset.load("5/0a1b2c3d-a.png").image, surface())

    task = _task(5, _annotation(), front="a.png", back="b.png")
    del task["data"]["image"]
    dataset = _write(tmp_path, task)
    with pytest.raises(BrokenSampleError, match=r"several images \(front, back\); call the annotated one 'image'"):
        dataset.load(dataset.names()[0])


def test_an_image_that_is_missing_ambiguous_or_broken_is_reported(tmp_path):
    dataset = _write(tmp_path, _task(5, _annotation()), image="b.png")
    with pytest.raises(BrokenSampleError, match=r"image of task 5, 0a1b2c3d-a\.png or a\.png, is not in"):
        dataset.load("5/0a1b2c3d-a.png")

    for folder in ("one", "two"):
        save(tmp_path / folder / "a.png", surface())
    with pytest.raises(BrokenSampleError, match=r"may be any of .*one/a\.png, .*two/a\.png"):
        LabelStudio(tmp_path).load("5/0a1b2c3d-a.png")

    (tmp_path / "0a1b2c3d-a.png").write_bytes(b"no image")
    with pytest.raises(BrokenSampleError, match="not an image"):
        LabelStudio(tmp_path).load("5/0a1b2c3d-a.png")


def test_a_task_without_an_image_is_reported(tmp_path):
    dataset = _write(tmp_path, _task(5, _annotation(), image="just text"))

    with pytest.raises(BrokenSampleError, match="names no image"):
        dataset.load("5")


def test_a_region_drawn_on_an_image_of_another_size_is_refused(tmp_path):
    dataset = _write(tmp_path, _task(5, _annotation(polygon() | {"original_width": 64})))

    with pytest.raises(BrokenSampleError, match=r"Region x1 was drawn on an image of 64 x 24 pixels, .* is 32 x 24"):
        dataset.load("5/0a1b2c3d-a.png")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[", "not valid JSON"),
        ('{"a": 1}', "export it as JSON, not JSON-MIN"),
        ('[{"id": 1, "image": "a.png", "label": []}]', "export it as JSON, not JSON-MIN"),
        ('[{"id": "x", "data": {}, "annotations": []}]', r"Task 'x' \(1\.\) of .* at 'id'"),
        ("[7]", r"Task that is no object \(1\.\)"),
        ("[]", "Expected: tasks with annotations that have masks"),
    ],
)
def test_a_file_of_another_kind_is_refused(tmp_path, text, message):
    (tmp_path / "export.json").write_text(text)

    with pytest.raises(EvaluationError, match=message):
        LabelStudio(tmp_path).names()


def test_a_folder_without_one_export_names_the_layout(tmp_path):
    with pytest.raises(EvaluationError, match=r"Expected: one \*\.json exported as JSON"):
        LabelStudio(tmp_path).names()

    for name in ("a.json", "b.json"):
        (tmp_path / name).touch()
    with pytest.raises(EvaluationError, match=r"several annotation files \(a\.json, b\.json\)"):
        LabelStudio(tmp_path).names()


# Which regions, of which image


def _on(entry: dict, item_index: int | None = None, to_name: str = "image", name: str = "x1") -> dict:
    return entry | {"id": name, "to_name": to_name} | ({} if item_index is None else {"item_index": item_index})


def _found(dataset: LabelStudio) -> dict[str, list[tuple[int, int]]]:
    """The grey level of each sample's image, as far as it is one, and the areas of its objects."""
    return {
        name: [(int(sample.image[0, 0, 0]), each.cropped.area) for each in sample.objects]
        for name in dataset.names()
        if (sample := dataset.load(name))
    }


def _flat(level: int) -> np.ndarray:
    return np.full((HEIGHT, WIDTH, 3), level, np.uint8)


def test_pages_of_a_list_are_samples_of_their_own(tmp_path):
    addresses = ["/d/p0.png", "/d/p1.png", "/d/p2.png", "/d/two/p1.png"]
    for number, address in enumerate(addresses):
        save(tmp_path / address[1:], _flat(number))
    task = _task(5, _annotation(_on(polygon(), 1), _on(box(8, 2, 6, 6), 3, name="x2")))
    task["data"] = {"pages": addresses}
    (tmp_path / "export.json").write_text(json.dumps([task]))

    assert _found(LabelStudio(tmp_path)) == {"5/p1.png": [(1, 30)], "5/3/p1.png": [(3, 36)]}


def test_each_image_tag_has_its_own_image(tmp_path):
    save(tmp_path / "b.png", _flat(2))
    regions = _on(polygon(), to_name="image"), _on(box(8, 2, 6, 6), to_name="back", name="x2")
    dataset = _write(tmp_path, _task(5, _annotation(*regions), back="b.png"))
    save(tmp_path / "a.png", _flat(1))

    assert _found(dataset) == {"5/0a1b2c3d-a.png": [(1, 30)], "5/b.png": [(2, 36)]}


def test_tags_that_are_no_fields_are_not_guessed(tmp_path):
    tasks = [_task(number, _annotation(_on(polygon(), to_name=tag)), second="b.png") for number, tag in enumerate("lr")]
    dataset = _write(tmp_path, *tasks)

    for name in dataset.names():
        with pytest.raises(BrokenSampleError, match=r"several images \(image, second\); call them as .*: l, r"):
            dataset.load(name)


def test_a_page_that_the_task_lacks_is_reported(tmp_path):
    dataset = _write(tmp_path, _task(5, _annotation(_on(polygon(), 2))))

    with pytest.raises(BrokenSampleError, match="has a region on image 3 of 'image', which holds 1"):
        dataset.load(dataset.names()[0])


def test_prompts_are_no_objects_and_are_counted(tmp_path):
    point = region("keypointlabels", x=5.0, y=5.0, width=0.4)
    regions = _on(polygon()), _on(box(2, 1, 9, 9), name="x2") | {"from_name": "box"}, _on(point, name="x3")
    alone = _on(box(2, 1, 9, 9)) | {"from_name": "box"}
    dataset = _write(tmp_path, _task(5, _annotation(*regions)), _task(6, _annotation(alone), image="a.png"))

    assert dataset.names() == ["5/0a1b2c3d-a.png", "6/a.png"]
    sample = dataset.load("5/0a1b2c3d-a.png")
    assert len(sample.objects) == 1
    assert sample.left_out == {
        "region that is no mask: the rectangle is a prompt, since its control surrounds masks": 1,
        "region that is no mask: a point has no area": 1,
    }
    assert sample.examples["region that is no mask: a point has no area"] == "region x3"
    with pytest.raises(BrokenSampleError, match=r"Task 6 .* is left out: it has boxes or points, but no mask"):
        dataset.load("6/a.png")


def test_one_odd_region_costs_that_region_and_not_its_image(tmp_path):
    other = polygon(OTHER_CORNERS) | {"id": "x2", "original_width": 64}
    damaged = brush(block(SECOND)) | {"id": "x3"}
    damaged["value"] = {**damaged["value"], "rle": [255] * 9}

    sample = _write(tmp_path, _task(5, _annotation(polygon(), other, damaged))).load("5/0a1b2c3d-a.png")

    (found,) = sample.objects
    np.testing.assert_array_equal(found.mask, block(FIRST))
    assert sample.left_out == {
        "region that was drawn on an image of another size": 1,
        "region that cannot be read": 1,
    }


def test_tasks_and_annotations_that_are_not_read_are_counted(tmp_path):
    tasks = (
        _task(1),
        _task(2, _annotation(was_cancelled=True)),
        _task(3, _annotation(), _annotation(updated_at="2026-01-01T00:00:00Z"), _annotation(was_cancelled=True)),
    )

    assert _write(tmp_path, *tasks).left_out() == {
        "task without an annotation": 1,
        "task whose annotations were all cancelled (skipped)": 1,
        "annotation that is not the newest of its task": 1,
    }
