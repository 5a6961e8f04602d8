"""Labels go into a real Label Studio, are shown there, and come out again as they were."""

import os
import subprocess
import sys

import httpx
import numpy as np

from export_sources import ODD_MASKS, ListSource, mask, read, run, saved
from sam_backend.masks import mask_iou
from sam_backend.samples import Object

LABELS = ("Kratzer groß", "pit/2")
CONFIG = """<View><Image name="picture" value="$photo"/><BrushLabels name="mask" toName="picture">
<Label value="Kratzer groß"/><Label value="pit/2"/></BrushLabels></View>"""


def sam_inspect(home, stack, *words, code=0):
    own = {
        "SAM_INSPECT_HOME": str(home / "backend"),
        "SAM_INSPECT_LABEL_STUDIO_URL": stack.url,
        "SAM_INSPECT_LABEL_STUDIO_API_KEY": stack.credentials.token,
        "NO_PROXY": "*",
        "COLUMNS": "120",
    }
    command = [sys.executable, "-m", "sam_inspect", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=os.environ | own)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + (done.stderr if code else "")


def test_labels_come_back_as_they_went_in(stack, home, labeling, tmp_path):
    holed, apart = Object(ODD_MASKS["an island in a hole"], LABELS[0]), Object(ODD_MASKS["two parts"], LABELS[1])
    over = Object(mask(np.s_[14:26, 20:52]), LABELS[1])
    written = {"Blech 1": (holed, over), "line-b": (apart,), "line2_b": (holed,), "frei": ()}
    images = [
        saved(tmp_path / "in" / "line 1" / "Blech 1.png", *written["Blech 1"]),
        saved(tmp_path / "in" / "line-b.jpg", *written["line-b"], seed=1),
        saved(tmp_path / "in" / "line2" / "b.png", seed=2),
        saved(tmp_path / "in" / "frei.png", seed=3),
    ]
    written.pop("line2_b")
    written["b"] = ()
    run(ListSource(images, LABELS), "coco", tmp_path / "labels")
    data = f"coco:{tmp_path / 'labels' / 'annotations' / 'instances_train.json'}"
    http = httpx.Client(
        base_url=stack.url, headers={"Authorization": f"Token {stack.credentials.token}"}, timeout=60, trust_env=False
    )
    created = http.post("/api/projects/", json={"title": "Round", "label_config": CONFIG}).json()
    project = str(created["id"])

    refused = sam_inspect(home, stack, "import", "--data", data, "--project", project, code=1)
    assert "upload them with --upload" in refused
    printed = sam_inspect(home, stack, "import", "--data", data, "--project", project, "--upload")
    assert "4 tasks have new predictions, with 3 masks in 3 regions." in printed
    assert "4 of these tasks are new." in printed
    again = sam_inspect(home, stack, "import", "--data", data, "--project", project, "--upload")
    assert "0 tasks have new predictions" in again
    assert "4 tasks had these predictions already" in again
    printed = sam_inspect(home, stack, "import", "--data", data, "--project", project, "--as", "annotations")
    assert "4 tasks have new annotations" in printed
    assert "4 tasks had an annotation already" in sam_inspect(
        home, stack, "import", "--data", data, "--project", project, "--as", "annotations"
    )
    tasks = http.get("/api/tasks/", params={"project": project, "fields": "all"}).json()["tasks"]
    assert [(len(task["annotations"]), len(task["predictions"])) for task in tasks] == [(1, 1)] * 4

    (two,) = (task["id"] for task in tasks if len(task["annotations"][0]["result"]) == 2)
    assert sorted(labeling.labels_of_regions(int(project), two, 2)) == sorted(LABELS)

    # A draft and a task without an annotation are named.
    draft = {"result": [], "lead_time": 1}
    assert http.post(f"/api/tasks/{tasks[0]['id']}/drafts", params={"project": project}, json=draft).is_success
    http.post(f"/api/projects/{project}/import", json=[{"data": {"photo": "https://example.com/none.png"}}])
    for to, spec in (("coco", "coco:{}/annotations/instances_train.json"), ("png", "masks:{}/train")):
        out = tmp_path / to
        printed = sam_inspect(home, stack, "export", "--project", project, "--to", to, "--out", str(out))
        assert "1 left out: task without an annotation; first: task " in printed
        assert "1 left out: draft beside a submitted annotation; first: task " in printed
        samples = read(spec.format(out))
        assert {stem.replace("_", " ") for stem in samples} == set(written)
        for stem, sample in samples.items():
            objects = list(written[stem.replace("_", " ")])
            if to == "png" and len(objects) == 2:
                smaller, larger = sorted(objects, key=lambda target: target.cropped.area)
                seen = Object(larger.mask & ~smaller.mask, larger.label)
                objects = [seen if target is larger else target for target in objects]
            assert [target.label for target in sample.objects] == [target.label for target in objects]
            for target, other in zip(sample.objects, objects, strict=True):
                assert mask_iou(target.mask, other.mask) == 1
