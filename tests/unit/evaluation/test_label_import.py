"""Labels of a data set come into a project once, to the tasks that show their images."""

from __future__ import annotations

import json

import numpy as np
import pytest

from export_sources import SIZE, ListSource, mask, run, saved
from loopback import send, serving
from sam_backend.errors import BadRequestError
from sam_backend.labelstudio.projects import open_project
from sam_backend.labelstudio.rle import decode_rle
from sam_backend.labelstudio.servers import ServerRegistry
from sam_backend.progress import no_progress
from sam_backend.samples import Object
from sam_evaluation.datasets.registry import DatasetSpec
from sam_evaluation.image_names import ImageNames
from sam_evaluation.label_import import ImportCounts, LabelImport
from tokens import LEGACY

DENT, PIT = Object(mask(np.s_[2:30, 2:30]), "dent"), Object(mask(np.s_[2:9, 30:40], np.s_[20:25, 30:40]), "pit")
BRUSH = '<BrushLabels name="mask" toName="image"><Label value="dent"/><Label value="pit"/></BrushLabels>'
POLYGON = '<PolygonLabels name="shape" toName="image"><Label value="dent"/><Label value="pit"/></PolygonLabels>'


class Project:
    """A project of a small Label Studio that keeps what is written into it."""

    def __init__(self, server, folder, controls=BRUSH, value="$image"):
        self.server, self.tasks, self.uploads = server, [], []
        xml = f'<View><Image name="image" value="{value}"/>{controls}</View>'
        head = {"id": 3, "created_at": "2026-11-23T15:41:34Z", "label_config": xml}
        self.routes = server.routes
        self.routes["/api/projects/3/"] = json.dumps(head).encode()
        self.routes["/api/tasks/"] = lambda handler: self.answer(
            handler, {"tasks": self.tasks, "total": len(self.tasks)}
        )
        self.routes["/api/predictions/"] = self.predict
        self.routes["/api/projects/3/import"] = self.upload
        self.project = open_project(ServerRegistry(folder / "home", url=server.url, api_key=LEGACY), "3")

    def answer(self, handler, content):
        send(handler, json.dumps(content).encode())

    def add(self, address, **fields):
        number = len(self.tasks) + 1
        data = {"image": address}
        self.tasks.append({"id": number, "data": data, "annotations": [], "predictions": [], **fields})
        self.routes[f"/api/tasks/{number}/annotations/"] = lambda handler: self.annotate(handler, number)

    def body(self):
        return self.server.requests[-1][2]

    def predict(self, handler):
        content = json.loads(self.body())
        prediction = {name: content[name] for name in ("model_version", "result")} | {"id": len(self.server.requests)}
        self.tasks[content["task"] - 1]["predictions"].append(prediction)
        self.routes[f"/api/predictions/{prediction['id']}/"] = lambda handler: self.forget(handler, prediction)
        self.answer(handler, {})

    def forget(self, handler, prediction):
        for task in self.tasks:
            task["predictions"] = [one for one in task["predictions"] if one is not prediction]
        self.answer(handler, {})

    def annotate(self, handler, number):
        self.tasks[number - 1]["annotations"].append({"id": 1, **json.loads(self.body())})
        self.answer(handler, {})

    def upload(self, handler):
        body = self.body()
        if body.startswith(b"--"):
            name = body.split(b'filename="')[1].split(b'"')[0].decode()
            self.uploads.append((name, body.split(b"\r\n\r\n", 1)[1].rsplit(b"\r\n--", 1)[0]))
            number = len(self.uploads)
            place = {"file": f"upload/3/1a2b3c4d-{name.replace(' ', '_')}"}
            self.routes[f"/api/import/file-upload/{number}"] = json.dumps(place).encode()
            self.answer(handler, {"file_upload_ids": [number]})
        else:
            (task,) = json.loads(body)
            self.add(task["data"]["image"])
            self.answer(handler, {})

    def regions(self, kind="predictions"):
        return [[region for one in task[kind] for region in one["result"]] for task in self.tasks]


@pytest.fixture
def server():
    with serving() as server:
        yield server


@pytest.fixture
def labels(tmp_path):
    """Two images with labels, and one without, as COCO."""
    images = [
        saved(tmp_path / "in" / "part 1.png", DENT, PIT),
        saved(tmp_path / "in" / "part 2.png", PIT, seed=1),
        saved(tmp_path / "in" / "clean.png", seed=2),
    ]
    run(ListSource(images, ("dent", "pit")), "coco", tmp_path / "labels")
    return DatasetSpec.parse(f"coco:{tmp_path}/labels/annotations/instances_train.json")


def brought_in(project, spec, *, tag=None, upload=False, annotate=False, again=False):
    labels, counts = LabelImport(project.project, spec, tag=tag, tolerance=1.0), ImportCounts()
    without = labels.check(no_progress, upload=upload)
    if upload:
        labels.upload(without, counts, no_progress)
    labels.run(counts, no_progress, annotate=annotate, again=again)
    return counts, without


def test_a_task_gets_the_masks_of_the_image_with_its_name(server, tmp_path, labels):
    project = Project(server, tmp_path)
    project.add("/data/upload/3/1a2b3c4d-part_2.png")
    project.add("s3://bucket/line/part%201.png")
    project.add("/data/upload/3/other.png")
    counts, without = brought_in(project, labels)
    assert (counts.tasks, counts.masks, counts.regions, without) == (2, 3, 3, ["clean.png"])
    named = [[region["value"]["brushlabels"] for region in regions] for regions in project.regions()]
    assert named == [[["pit"]], [["dent"], ["pit"]], []]
    (region,) = project.regions()[0]
    np.testing.assert_array_equal(decode_rle(region["value"]["rle"], SIZE), PIT.mask)


def test_repeated_it_writes_nothing_and_again_replaces(server, tmp_path, labels):
    project = Project(server, tmp_path)
    project.add("/data/upload/3/part_1.png")
    brought_in(project, labels)
    counts, _ = brought_in(project, labels)
    assert (counts.tasks, counts.earlier) == (0, 1)
    counts, _ = brought_in(project, labels, again=True)
    assert (counts.tasks, len(project.tasks[0]["predictions"])) == (1, 1)


def test_annotations_of_people_stay_alone(server, tmp_path, labels):
    project = Project(server, tmp_path)
    project.add("/data/upload/3/part_1.png")
    project.add("/data/upload/3/part_2.png", annotations=[{"id": 7, "result": []}])
    project.add("/data/upload/3/clean.png")
    counts, _ = brought_in(project, labels, annotate=True)
    assert (counts.tasks, counts.earlier) == (2, 1)
    assert [len(regions) for regions in project.regions("annotations")] == [2, 0, 0]
    assert [len(task["annotations"]) for task in project.tasks] == [1, 1, 1]
    assert {region["origin"] for region in project.regions("annotations")[0]} == {"manual"}
    assert brought_in(project, labels, annotate=True)[0].tasks == 0


def test_images_are_uploaded_once(server, tmp_path, labels):
    project = Project(server, tmp_path)
    project.add("/data/upload/3/1a2b3c4d-part_2.png")
    counts, _ = brought_in(project, labels, upload=True)
    assert (counts.uploaded, counts.tasks, counts.masks) == (2, 3, 3)
    assert sorted(name for name, _ in project.uploads) == ["clean.png", "part 1.png"]
    content = dict(project.uploads)["part 1.png"]
    assert content == (tmp_path / "in" / "part 1.png").read_bytes()
    counts, _ = brought_in(project, labels, upload=True)
    assert (counts.uploaded, counts.tasks, counts.earlier) == (0, 0, 3)


def test_polygons_and_a_tag(server, tmp_path, labels):
    project = Project(server, tmp_path, BRUSH + POLYGON)
    project.add("/data/upload/3/part_1.png")
    counts, _ = brought_in(project, labels, tag="PolygonLabels")
    assert [region["type"] for region in project.regions()[0]] == ["polygonlabels"] * 3
    assert (counts.masks, counts.regions) == (2, 3)
    with pytest.raises(BadRequestError, match=r"no RectangleLabels \(--tag\) .* has 'brushlabels', 'polygonlabels'"):
        brought_in(project, labels, tag="RectangleLabels")


RECTANGLES = '<RectangleLabels name="box" toName="image"><Label value="dent"/><Label value="pit"/></RectangleLabels>'


def test_boxes_become_rectangles_where_the_config_takes_them(server, tmp_path):
    run(ListSource([saved(tmp_path / "in" / "a.png", DENT, PIT)], ("dent", "pit")), "yolo-box", tmp_path / "boxes")
    spec = DatasetSpec.parse(f"yolo:{tmp_path}/boxes@train")
    project = Project(server, tmp_path, RECTANGLES)
    project.add("/data/upload/3/a.png")
    counts, _ = brought_in(project, spec)
    values = [region["value"] for region in project.regions()[0]]
    assert [value["rectanglelabels"] for value in values] == [["dent"], ["pit"]]
    height, width = SIZE
    for value, target in zip(values, (DENT, PIT), strict=True):
        left, top, right, bottom = target.cropped.box
        corner, sides = (value["x"], value["y"]), (value["width"], value["height"])
        np.testing.assert_allclose(corner, [left / width * 100, top / height * 100])
        np.testing.assert_allclose(sides, [(right - left) / width * 100, (bottom - top) / height * 100])
    assert counts.tally.sentences() == []
    brushes = Project(server, tmp_path)
    brushes.add("/data/upload/3/a.png")
    counts, _ = brought_in(brushes, spec)
    assert (counts.masks, counts.tally.counts) == (0, {"image that cannot be read": 1})


def test_boxes_beside_masks_are_counted_once(server, tmp_path, labels):
    content = json.loads(labels.folder.read_text())
    del content["annotations"][0]["segmentation"]
    labels.folder.write_text(json.dumps(content))
    project = Project(server, tmp_path, RECTANGLES)
    for name in ("part_1", "part_2"):
        project.add(f"/data/upload/3/{name}.png")
    counts, _ = brought_in(project, labels)
    assert (counts.masks, counts.tally.sentences()) == (3, [])


@pytest.mark.parametrize("upload", [False, True])
def test_labels_that_the_config_lacks_are_named_before_any_work(server, tmp_path, labels, upload):
    project = Project(server, tmp_path, BRUSH.replace('"pit"', '"crack"'))
    project.add("/data/upload/3/part_1.png")
    with pytest.raises(BadRequestError, match=r"does not know 'pit' of coco:.*; it knows 'dent', 'crack'"):
        brought_in(project, labels, upload=upload)
    assert project.regions() == [[]]
    assert project.uploads == []


def test_a_label_that_is_declared_and_not_used_is_no_mistake(server, tmp_path):
    image = saved(tmp_path / "in" / "a.png", DENT)
    run(ListSource([image], ("dent", "ghost")), "coco", tmp_path / "labels")
    project = Project(server, tmp_path)
    project.add("/data/upload/3/a.png")
    spec = DatasetSpec.parse(f"coco:{tmp_path}/labels/annotations/instances_train.json")
    assert brought_in(project, spec)[0].masks == 1


def test_without_an_image_of_a_task_nothing_is_done(server, tmp_path, labels):
    project = Project(server, tmp_path)
    project.add("/data/upload/3/other.png")
    with pytest.raises(BadRequestError, match=r"No task of project 3 shows an image .* 3 images .* --upload"):
        brought_in(project, labels)


def test_an_upload_needs_one_field(server, tmp_path, labels):
    project = Project(server, tmp_path, value="https://host/$image")
    with pytest.raises(BadRequestError, match=r"--upload needs .* has 'https://host/\$image'"):
        brought_in(project, labels, upload=True)


@pytest.mark.parametrize(
    ("names", "address", "found"),
    [
        (["a.png"], "/data/upload/3/0123abcd-a.png", "a.png"),
        (["a.png"], "/data/upload/3/0123abcd-b.png", None),
        (["A b (1).PNG"], "/data/upload/3/0123abcd-a_b_1.jpg", "A b (1).PNG"),
        (["line1/a.png", "line2/a.png"], "s3://x/line2/a.png", "line2/a.png"),
        (["line1/a.png", "line2/a.png"], "/data/upload/3/a.png", None),
        (["line1/a.png", "line2/a.png"], "/data/upload/3/0123abcd-line1_a.png", "line1/a.png"),
        (["x/frame.1"], "/data/local-files/?d=x/frame.1.tif", "x/frame.1"),
        (["a.json"], "/data/upload/3/a.jpg", "a.json"),
        (["a.png"], "", None),
    ],
)
def test_images_are_found_by_their_names(names, address, found):
    assert ImageNames(names).find(address) == found
