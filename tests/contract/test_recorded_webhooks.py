"""Webhooks as recorded from Label Studio 1.23.2, without the fields that do not matter here."""

import numpy as np
import pytest
from fastapi.testclient import TestClient

from label_studio_requests import CONFIG
from sam_backend.labelstudio.rle import encode_rle
from sam_backend.settings import Settings
from services import make_app
from threshold_segmenter import ThresholdSegmenter

MASK = np.zeros((200, 200), bool)
MASK[50:90, 60:100] = True
REGION = {
    "id": "abc",
    "from_name": "brush",
    "to_name": "image",
    "type": "brushlabels",
    "original_width": 200,
    "original_height": 200,
    "image_rotation": 0,
    "value": {"format": "rle", "rle": encode_rle(MASK), "brushlabels": ["Crack"]},
}
PROJECT = {"id": 1, "created_at": "2026-11-23T15:41:34.787583Z", "title": "tile", "label_config": CONFIG}
TASK = {"id": 13, "data": {"image": "/data/upload/1/1d0545da-1.jpg", "name": "1"}, "meta": {}, "is_labeled": True}


def annotation(number, second, *, cancelled=False):
    return {
        "id": number,
        "result": [] if cancelled else [REGION],
        "was_cancelled": cancelled,
        "ground_truth": False,
        "created_at": "2026-11-23T15:51:11.424845Z",
        "updated_at": f"2026-11-23T15:51:{second}.901784Z",
        "prediction": {"id": 23, "result": [REGION], "model_version": "nano", "score": 0.0, "task": 13, "project": 1},
        "task": 13,
        "project": 1,
        "completed_by": 1,
        "parent_prediction": None,
    }


def about(action, **what):
    return {"action": action, "project": PROJECT, **what}


EVENTS = {
    "submitted": (about("ANNOTATION_CREATED", annotation=annotation(12, 11), task=TASK), {12: ""}),
    "changed": (about("ANNOTATION_UPDATED", annotation=annotation(12, 12), task=TASK), {12: ""}),
    "skipped": (
        about("ANNOTATION_CREATED", annotation=annotation(13, 12, cancelled=True), task=TASK),
        {13: "it was skipped"},
    ),
    "made of predictions in bulk": (
        about("ANNOTATIONS_CREATED", annotation=[annotation(15, 13), annotation(16, 13)], task=[TASK]),
        {15: "", 16: ""},
    ),
    "deleted": (about("ANNOTATIONS_DELETED", annotations=[{"id": 13}, {"id": 14}]), {13: "deleted", 14: "deleted"}),
    "task deleted": (about("TASKS_DELETED", tasks=[{"id": 13}]), {}),
}


@pytest.mark.parametrize("name", EVENTS)
def test_events_about_annotations_are_remembered(tmp_path, name):
    body, expected = EVENTS[name]
    app = make_app(ThresholdSegmenter(), Settings(home=tmp_path / "home", cache=tmp_path / "cache"))
    with TestClient(app) as client:
        response = client.post("/webhook", json=body)
    assert response.status_code == 200
    assert response.json() == {"status": "remembered", "action": body["action"]}
    store = app.state.backend.memories.of("1.1795448494").store
    records = [store.whole(head.key) for head in store.heads()]
    assert {record.annotation: "deleted" if record.deleted else record.left_out for record in records} == expected
    for record in records:
        if record.is_usable:
            assert (record.task, record.image) == (13, TASK["data"]["image"])
            assert record.regions == [REGION]


@pytest.mark.parametrize(("prefetch", "status"), [(0, "ignored"), (8, "started")])
def test_imported_tasks_are_encoded_ahead_or_ignored(tmp_path, prefetch, status):
    settings = Settings(home=tmp_path / "home", cache=tmp_path / "cache", prefetch=prefetch)
    with TestClient(make_app(ThresholdSegmenter(), settings)) as client:
        assert client.post("/webhook", json=about("TASKS_CREATED", tasks=[TASK])).json()["status"] == status
