"""SamInspectModel in the real server of label-studio-ml 1.0.9, a process of its own."""

import json

import pytest
from fastapi.testclient import TestClient

from annotation_events import ASKED, PROJECT_BODY, TAUGHT, deleted, event, region
from annotation_events import CONFIG as COLOURS
from colour_segmenter import ColourSegmenter
from label_studio_ml_1 import running
from label_studio_requests import CONFIG, PROJECT, batch, click, data_url, interactive, png, rectangle, task
from sam_backend.settings import Settings
from services import make_app
from waiting import wait_for

pytestmark = pytest.mark.slow

SETUP = {"project": PROJECT, "schema": CONFIG, "hostname": "", "access_token": "", "extra_params": None}

CANNOT_BE_TUNED = "grabcut cannot be tuned; choose one of nano, sam:vit_b, sam:vit_l, sam:vit_h."


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with running(tmp_path_factory.mktemp("label-studio-ml")) as server:
        yield server


def setup(server, project=PROJECT):
    return server.post("/setup", SETUP | {"project": project, "schema": COLOURS})


def without_ids(results):
    return [{**result, "result": [region | {"id": ""} for region in result["result"]]} for result in results]


@pytest.mark.parametrize(
    "body",
    [interactive(click(25, 15)), interactive(rectangle(18, 8, 32, 22)), batch(task(), task(number=2))],
    ids=["a click", "a rectangle", "a batch"],
)
def test_predictions_are_equal_to_those_of_our_service(server, tmp_path, body):
    # Another project's labeling config is the last that this server was given; the request's own counts.
    assert setup(server, "2.1795411201").status_code == 200
    with TestClient(make_app(ColourSegmenter(), Settings(home=tmp_path / "home", cache=tmp_path / "cache"))) as client:
        expected = client.post("/predict", json=body).json()["results"]
    assert without_ids(server.predict(body)) == without_ids(expected)


def test_an_error_is_in_the_status_line(server):
    setup(server)
    response = server.post("/predict", interactive(click(125, 15)))
    assert response.status_code == 400
    assert "inside the image" in response.reason
    assert "Traceback" not in response.text


def predicted_labels(server, project=PROJECT):
    (result,) = server.predict(batch(task(data_url(png(ASKED[0]))), config=COLOURS, project=project))
    return {label for region in result["result"] for label in region["value"]["brushlabels"]}


def test_annotations_become_examples_until_they_are_deleted(server):
    setup(server)
    assert server.send(event("ANNOTATION_CREATED")) == {"status": "remembered", "action": "ANNOTATION_CREATED"}
    # Their own processes cannot learn; the server does when it is asked next.
    assert wait_for(lambda: predicted_labels(server)) == {"red", "green"}
    assert server.send(deleted(1))["status"] == "remembered"
    assert not predicted_labels(server)


def test_start_training_asks_for_a_training(server):
    result = server.send({"action": "START_TRAINING", "project": PROJECT_BODY})
    assert result == {"status": "ignored", "action": "START_TRAINING", "message": CANNOT_BE_TUNED}


def test_the_tasks_of_train_are_remembered_before_a_training_is_started(server):
    project = "3.1795411201"
    setup(server, project)
    annotations = [{"id": 7, "result": [region(label, mask) for label, mask in TAUGHT[1]]}]
    body = {"annotations": [task(data_url(png(TAUGHT[0])), 5, annotations=annotations)], "label_config": COLOURS}
    assert server.post("/train", body | {"project": project}).status_code == 201
    (result,) = (server.jobs / project).glob("*/job_result.json")
    assert json.loads(result.read_text())["train_output"]["message"] == CANNOT_BE_TUNED
    assert wait_for(lambda: predicted_labels(server, project)) == {"red", "green"}


def test_train_without_tasks_fails_in_the_result_of_the_training(server):
    setup(server)
    assert server.post("/train", {"project": "9.1", "label_config": COLOURS}).status_code == 201
    (result,) = (server.jobs / "9.1").glob("*/job_result.json")
    assert json.loads(result.read_text())["train_output"]["status"] == "failed"
