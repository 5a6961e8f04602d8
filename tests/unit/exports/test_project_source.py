"""What annotators accepted in a project, exported from Label Studio's API."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from PIL import Image

from export_sources import read, run
from loopback import serving
from sam_backend.errors import ImageServerError
from sam_backend.labelstudio.images import TaskImages
from sam_backend.labelstudio.projects import open_project
from sam_backend.labelstudio.servers import Server, ServerRegistry
from sam_evaluation.exports.project_source import ProjectSource
from tokens import LEGACY

CONFIG = """<View><Image name="image" value="$photo"/>
<PolygonLabels name="shape" toName="image"><Label value="Pit"/><Label value="Scratch"/></PolygonLabels>
<RectangleLabels name="box" toName="image" smart="true"><Label value="Pit"/></RectangleLabels></View>"""


def region(label="Scratch", **fields):
    points = [[10, 10], [60, 10], [60, 60], [10, 60]]
    value = {"points": points, "closed": True, "polygonlabels": [label] if label else []}
    frame = {"original_width": 40, "original_height": 30, "image_rotation": 0}
    place = {"id": "r", "type": "polygonlabels", "from_name": "shape", "to_name": "image"}
    return {**place, "value": value, **frame, **fields}


def annotation(*regions, number=1, **fields):
    return {"id": number, "was_cancelled": False, "result": list(regions), "updated_at": f"2026-01-0{number}", **fields}


def task(number, *annotations, photo=None, drafts=()):
    data = {"photo": photo or f"/data/upload/3/1a2b3c4d-part_{number}.png"}
    return {"id": number, "data": data, "annotations": list(annotations), "predictions": [], "drafts": list(drafts)}


def png(seed=0):
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (30, 40, 3), np.uint8)).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def label_studio():
    with serving() as server:
        for number in range(1, 10):
            server.routes[f"/data/upload/3/1a2b3c4d-part_{number}.png"] = png(number)
        project = {"id": 3, "created_at": "2026-11-23T15:41:34Z", "label_config": CONFIG}
        server.routes["/api/projects/3/"] = json.dumps(project).encode()
        yield server


def export(server, folder, tasks, to="coco", **options):
    server.routes["/api/tasks/"] = json.dumps({"tasks": tasks, "total": len(tasks)}).encode()
    project = open_project(ServerRegistry(folder / "home", url=server.url, api_key=LEGACY), "3")
    source = ProjectSource(project, Server(server.url, LEGACY), TaskImages(timeout=5, max_pixels=10_000))
    return run(source, to, folder / "out", **options)


def test_the_newest_annotation_of_each_task_is_exported_with_the_names_of_the_uploads(label_studio, tmp_path):
    old, new = annotation(region(), region(), number=1), annotation(region("Pit"), number=2)
    done = export(label_studio, tmp_path, [task(1, new, old), task(2, annotation(region())), task(3, annotation())])
    assert (sum(done.images.values()), done.masks, done.classes) == (3, 2, ["Pit", "Scratch"])
    samples = read(f"coco:{tmp_path}/out/annotations/instances_train.json")
    assert {name: [(one.label, one.cropped.area) for one in sample.objects] for name, sample in samples.items()} == {
        "part_1": [("Pit", 300)],
        "part_2": [("Scratch", 300)],
        "part_3": [],
    }
    image = tmp_path / "out" / "images" / "part_1.png"
    assert (image.read_bytes(), image.stat().st_mode & 0o777) == (png(1), 0o644)


def test_what_is_left_out_is_named_with_its_reason(label_studio, tmp_path):
    box = {"x": 10, "y": 10, "width": 50, "height": 50, "rotation": 0, "rectanglelabels": ["Pit"]}
    video = {"id": "v", "type": "videorectangle", "from_name": "v", "to_name": "image", "value": {"sequence": []}}
    prompt = region() | {"id": "b", "type": "rectanglelabels", "from_name": "box", "value": box}
    done = export(
        label_studio,
        tmp_path,
        [
            task(1),
            task(2, drafts=[{"id": 1}]),
            task(3, annotation(region(), was_cancelled=True)),
            task(4, annotation(region(), prompt, video | {"id": "w"}), drafts=[{"id": 2}]),
            task(5, annotation(region(), region(None, id="s"))),
            task(6, annotation(prompt)),
            task(7, annotation(region(), number=1), annotation(region(), number=2)),
            task(8, annotation(region()), photo="/data/upload/3/gone.png"),
        ],
    )
    assert (sum(done.images.values()), done.masks) == (3, 3)
    counts = {reason: number for reason, number in done.tally.counts.items() if number}
    assert counts == {
        "task without an annotation": 1,
        "task without an annotation, with a draft that nobody submitted": 1,
        "task that was skipped": 1,
        "draft beside a submitted annotation": 1,
        "region that is no mask: the rectangle is a prompt, since the labeling config takes masks as polygon": 1,
        "region that is no mask: an object of a video is not read": 1,
        "mask without a label": 1,
        "task or image: it has boxes or points, but no mask": 1,
        "annotation that is not the newest of its task": 1,
        "image that could not be fetched": 1,
    }
    assert "1 left out: task that was skipped; first: task 3." in done.sentences()


def test_pages_of_a_task_are_images_of_their_own_on_one_side(label_studio, tmp_path):
    pages = [f"/data/upload/3/1a2b3c4d-part_{number}.png" for number in (1, 2, 3)]
    tasks = [
        task(n, annotation(region(item_index=0), region(item_index=2, id="s")), photo=pages) for n in range(20, 30)
    ]
    for number in range(1, 10):
        del label_studio.routes[f"/data/upload/3/1a2b3c4d-part_{number}.png"]
    for n in range(20, 30):
        tasks[n - 20]["data"]["photo"] = [f"/data/upload/3/{n}-{page}.png" for page in range(3)]
        for page in range(3):
            label_studio.routes[f"/data/upload/3/{n}-{page}.png"] = png(3 * n + page)
    done = export(label_studio, tmp_path, tasks, "yolo-seg", share=0.5)
    assert sum(done.images.values()) == 20
    for side in done.images:
        stems = [path.stem for path in (tmp_path / "out" / "images" / side).iterdir()]
        assert all(f"{stem[:3]}{2 - int(stem[3:])}" in stems for stem in stems)


def test_files_of_one_name_get_the_id_of_their_task(label_studio, tmp_path):
    for number, prefix in ((5, "aaaaaaaa"), (6, "bbbbbbbb")):
        label_studio.routes[f"/data/upload/3/{prefix}-x.png"] = png(number)
    tasks = [
        task(5, annotation(region()), photo="/data/upload/3/aaaaaaaa-x.png"),
        task(6, annotation(region()), photo="/data/upload/3/bbbbbbbb-x.png"),
    ]
    export(label_studio, tmp_path, tasks)
    assert sorted(path.name for path in (tmp_path / "out" / "images").iterdir()) == ["x.png", "x_6.png"]


def test_an_interrupted_export_does_not_fetch_again(label_studio, tmp_path):
    tasks = [task(1, annotation(region())), task(2, annotation(region()))]
    wrong = [*tasks, task(3, annotation(region("Pit")), photo="/data/upload/3/broken.png")]
    label_studio.routes["/data/upload/3/broken.png"] = 401
    real = TaskImages.fetch

    def fetch(self, url, *rest, **options):
        if "broken" in url:
            raise KeyboardInterrupt
        return real(self, url, *rest, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TaskImages, "fetch", fetch)
        with pytest.raises(KeyboardInterrupt):
            export(label_studio, tmp_path, wrong)
    assert not (tmp_path / "out").exists()
    label_studio.requests.clear()
    label_studio.routes["/data/upload/3/broken.png"] = png(3)
    assert export(label_studio, tmp_path, wrong).masks == 3
    assert [path for path in label_studio.paths() if path.startswith("/data")] == ["/data/upload/3/broken.png"]
    assert not (tmp_path / "out.part").exists()


def test_a_project_whose_images_are_gone_leaves_nothing(label_studio, tmp_path):
    tasks = [task(n, annotation(region()), photo=f"/data/upload/3/gone_{n}.png") for n in range(3)]
    with pytest.raises(ImageServerError, match="0 of 3 annotated images of project 3 were fetched"):
        export(label_studio, tmp_path, tasks)
    assert not (tmp_path / "out").exists()


def test_plain_controls_without_labels_export_what_is_unlabelled(label_studio, tmp_path):
    xml = '<View><Image name="image" value="$photo"/><Polygon name="shape" toName="image"/></View>'
    project = {"id": 3, "created_at": "2026-11-23T15:41:34Z", "label_config": xml}
    label_studio.routes["/api/projects/3/"] = json.dumps(project).encode()
    assert export(label_studio, tmp_path, [task(1, annotation(region(None)))]).classes == ["unlabelled"]
