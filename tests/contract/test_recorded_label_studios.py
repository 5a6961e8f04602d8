"""An annotator's work as each Label Studio sent it: a click, a negative click, a box, and what was submitted."""

import json
from pathlib import Path

import cv2
import pytest
from fastapi.testclient import TestClient

from loopback import serving
from sam_backend.demo.demo_images import make_images
from sam_backend.labelstudio.rle import decode_rle
from sam_backend.masks import mask_iou
from sam_backend.segmenters.model_registry import load_segmenter
from sam_backend.settings import Settings
from services import make_app
from waiting import PATIENCE

RECORDED = sorted(Path(__file__).parent.glob("label-studio-*.json"))


@pytest.mark.parametrize("recorded", RECORDED, ids=lambda path: path.stem)
def test_recorded_clicks_and_boxes_are_answered_and_what_was_submitted_is_learnt(tmp_path, recorded):
    images = {image.name: image for image in make_images()}
    settings = Settings(home=tmp_path / "home", cache=tmp_path / "cache", allow_host="127.0.0.1", prefetch=0)
    answered, submitted = [], 0
    app = make_app(load_segmenter("nano"), settings)
    with serving() as label_studio, TestClient(app) as client:
        for request in json.loads(recorded.read_text()):
            body = request["body"]
            for task in (*body.get("tasks", ()), *([body["task"]] if "task" in body else ())):
                drawn = images[task["data"]["name"]]
                file = cv2.imencode(".jpg", drawn.pixels[..., ::-1])[1].tobytes()
                label_studio.routes[task["data"]["image"]] = file
            if request["path"] == "/setup":
                body["hostname"] = label_studio.url
                project = body["project"]
            answer = client.post(request["path"], json=body)
            assert answer.status_code == 200, answer.text
            if request["path"] == "/predict":
                (region,) = answer.json()["results"][0]["result"]
                mask = decode_rle(region["value"]["rle"], drawn.size)
                answered.append((region["value"]["brushlabels"], mask_iou(mask, drawn.mask) > 0.5, drawn.label))
            submitted += request["path"] == "/webhook"
        assert app.state.backend.learner.wait(PATIENCE)
        heads = app.state.backend.memories.of(project).store.heads()
        learnt = [head for head in heads if not head.deleted]
    assert len(answered) >= 3
    assert all(labels == [label] and is_good for labels, is_good, label in answered)
    assert len(learnt) == submitted == 2
