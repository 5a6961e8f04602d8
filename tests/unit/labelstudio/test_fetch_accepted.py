"""The accepted annotations of a project, fetched and read back as a data set."""

import io
import json

import numpy as np
import pytest
from PIL import Image

from loopback import send, serving
from sam_backend.errors import ImageServerError
from sam_backend.labelstudio.accepted import fetch_accepted
from sam_backend.labelstudio.images import TaskImages
from sam_backend.labelstudio.servers import Server
from sam_evaluation.datasets.registry import DatasetSpec
from tokens import LEGACY

CONFIG = """<View><Image name="image" value="$photo"/>
<PolygonLabels name="shape" toName="image"><Label value="Scratch"/></PolygonLabels></View>"""


def region(to_name="image"):
    points = [[10, 10], [60, 10], [60, 60], [10, 60]]
    value = {"points": points, "closed": True, "polygonlabels": ["Scratch"]}
    frame = {"original_width": 40, "original_height": 30, "image_rotation": 0}
    return {"id": "r", "type": "polygonlabels", "from_name": "shape", "to_name": to_name, "value": value, **frame}


def task(number, *, cancelled=False, regions=None):
    annotation = {"id": number, "was_cancelled": cancelled, "result": regions or [region()], "updated_at": "2026-01-01"}
    return {"id": number, "data": {"photo": f"/data/upload/3/{number}.jpg"}, "annotations": [annotation]}


@pytest.fixture
def label_studio():
    with serving() as server:
        picture = io.BytesIO()
        Image.fromarray(np.full((30, 40, 3), 90, np.uint8)).save(picture, "PNG")
        for number in (1, 2, 3):
            server.routes[f"/data/upload/3/{number}.jpg"] = picture.getvalue()
        server.routes["/api/projects/3/"] = lambda handler: send(
            handler, json.dumps({"id": 3, "label_config": CONFIG}).encode()
        )
        yield server


def fetch(server, folder, tasks):
    server.routes["/api/projects/3/export"] = json.dumps(tasks).encode()
    images = TaskImages(timeout=5, max_pixels=10_000)
    return fetch_accepted(Server(server.url, LEGACY), 3, folder, images, timeout=5)


def test_accepted_masks_come_with_their_images_and_can_be_read(label_studio, tmp_path):
    export = fetch(label_studio, tmp_path, [task(1), task(2)])
    dataset = DatasetSpec("label_studio", export).open()
    assert list(dataset.names()) == ["1/1.png", "2/2.png"]
    sample = dataset.load("1/1.png")
    assert sample.image.shape == (30, 40, 3)
    assert [(each.label, each.cropped.area) for each in sample.objects] == [("Scratch", 300)]
    assert label_studio.requests[0][0]["Authorization"] == f"Token {LEGACY}"


def test_skipped_tasks_and_regions_on_other_images_are_left_out(label_studio, tmp_path):
    export = fetch(label_studio, tmp_path, [task(1, cancelled=True), task(2, regions=[region(), region("other")])])
    (kept,) = json.loads(export.read_text())
    assert (kept["id"], len(kept["annotations"][0]["result"])) == (2, 1)


def test_an_image_is_fetched_once_and_one_that_is_gone_breaks_its_task_alone(label_studio, tmp_path):
    fetch(label_studio, tmp_path, [task(1)])
    del label_studio.routes["/data/upload/3/1.jpg"], label_studio.routes["/data/upload/3/2.jpg"]
    dataset = DatasetSpec("label_studio", fetch(label_studio, tmp_path, [task(1), task(2), task(3)])).open()
    assert dataset.load("1/1.png").objects
    assert dataset.load("3/3.png").objects
    with pytest.raises(Exception, match=r"image of task 2, 2\.png, is not in"):
        dataset.load("2/2.png")


@pytest.mark.parametrize(("answer", "said"), [(403, "answered 403"), (b"<html>", "does not answer")])
def test_a_project_that_cannot_be_exported_is_reported(label_studio, tmp_path, answer, said):
    label_studio.routes["/api/projects/3/export"] = answer
    with pytest.raises(ImageServerError, match=said):
        fetch_accepted(Server(label_studio.url, LEGACY), 3, tmp_path, TaskImages(timeout=5, max_pixels=100), timeout=5)


def test_each_annotated_image_of_a_task_is_fetched_and_is_a_task_of_the_export(label_studio, tmp_path):
    pages = [region() | {"item_index": 2}, region() | {"item_index": 0, "id": "s"}]
    two = task(1, regions=pages)
    two["data"] = {"photo": [f"/data/upload/3/{number}.jpg" for number in (1, 2, 3)]}
    export = fetch(label_studio, tmp_path, [two])
    assert [(kept["id"], kept["data"]) for kept in json.loads(export.read_text())] == [
        (1, {"image": "1.png"}),
        (1, {"image": "1_2.png"}),
    ]
    assert sorted(path.name for path in (tmp_path / "images").iterdir()) == ["1.png", "1_2.png"]
    dataset = DatasetSpec("label_studio", export).open()
    assert [len(dataset.load(name).objects) for name in dataset.names()] == [1, 1]


def test_an_image_with_prompts_alone_is_left_out_and_named(label_studio, tmp_path, caplog):
    box = {"x": 10, "y": 10, "width": 50, "height": 50, "rotation": 0, "rectanglelabels": ["Scratch"]}
    prompted = task(1, regions=[region() | {"type": "rectanglelabels", "from_name": "box", "value": box}])
    export = fetch(label_studio, tmp_path, [prompted, task(2)])
    assert [kept["id"] for kept in json.loads(export.read_text())] == [2]
    assert "Task 1 is left out: it has boxes or points, but no mask." in caplog.text


def test_a_rectangle_that_the_config_takes_as_a_mask_stays_one_around_another_mask(label_studio, tmp_path):
    xml = CONFIG.replace("PolygonLabels", "RectangleLabels")
    label_studio.routes["/api/projects/3/"] = json.dumps({"id": 3, "label_config": xml}).encode()
    box = {"x": 0, "y": 0, "width": 100, "height": 100, "rotation": 0, "rectanglelabels": ["Part"]}
    part = region() | {"id": "p", "type": "rectanglelabels", "from_name": "box", "value": box}
    dataset = DatasetSpec("label_studio", fetch(label_studio, tmp_path, [task(1, regions=[part, region()])])).open()
    assert [each.label for each in dataset.load("1/1.png").objects] == ["Part", "Scratch"]


def test_that_no_image_can_be_fetched_is_said_once_with_the_cause(label_studio, tmp_path, caplog):
    for number in (1, 2, 3):
        label_studio.routes[f"/data/upload/3/{number}.jpg"] = 401
    with pytest.raises(ImageServerError, match=r"0 of 3 annotated .* project 3 .*; 3 times: .* answered 401, the to"):
        fetch(label_studio, tmp_path, [task(1), task(2), task(3)])
    assert caplog.text == ""


def test_images_that_are_not_fetched_are_counted_by_their_cause(label_studio, tmp_path, caplog):
    label_studio.routes |= {"/data/upload/3/1.jpg": 404, "/data/upload/3/2.jpg": b"no image"}
    label_studio.routes["/data/upload/3/4.jpg"] = 404
    fetch(label_studio, tmp_path, [task(1), task(2), task(3), task(4)])
    assert "3 of 4 annotated images are not fetched" in caplog.text
    assert "2 times: The image /data/upload/3/1.jpg could not be fetched" in caplog.text
    assert "once: The image /data/upload/3/2.jpg is not an image" in caplog.text


def test_a_server_that_refuses_every_image_is_not_asked_for_all(label_studio, tmp_path):
    label_studio.routes |= {f"/data/upload/3/{number}.jpg": 403 for number in range(1, 40)}
    with pytest.raises(ImageServerError, match="0 of the first 20 annotated images"):
        fetch(label_studio, tmp_path, [task(number) for number in range(1, 40)])
    assert len(label_studio.requests) == 22
