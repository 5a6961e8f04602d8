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


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with running(tmp_path_factory.mktemp("label-studio-ml")) as server:
        yield server


def setup(server, project=PROJECT):
    return server.post("/setup", SETUP | {"project": project, "schema": COLOURS})


def without_ids(results):
    return [{**result, "result": [each | {"id": ""} for each in result["result"]]} for result in results]


@pytest.mark.parametrize(
    "body",
    [interactive(click(25, 15)), interactive(rectangle(18, 8, 32, 22)), batch(task(), task(number=2))],
    ids=["a click", "a rectangle", "a batch"],
)
def test_predictions_are_those_of_our_own_service(server, tmp_path, body):
    # Another project's labeling config is the last that this server was given; the request's own counts.
    assert setup(server, "2.1795411201").status_code == 200
    with TestClient(make_app(ColourSegmenter(), Settings(home=tmp_path / "home", cache=tmp_path / "cache"))) as client:
        expected = client.post("/predict", json=body).json()["results"]
    assert without_ids(server.predict(body)) == without_ids(expected)


def test_a_mistake_is_told_in_the_status_line(server):
    setup(server)
    response = server.post("/predict", interactive(click(125, 15)))
    assert response.status_code == 400
    assert "inside the image" in response.reason
    assert "Traceback" not in response.text


def found_labels(server, project=PROJECT):
    (result,) = server.predict(batch(task(data_url(png(ASKED[0]))), config=COLOURS, project=project))
    return {label for each in result["result"] for label in each["value"]["brushlabels"]}


def test_annotations_teach_and_stop_to_teach(server):
    setup(server)
    assert server.tell(event("ANNOTATION_CREATED")) == {"status": "remembered", "action": "ANNOTATION_CREATED"}
    # Their own processes cannot learn; the server does when it is asked next.
    assert wait_for(lambda: found_labels(server)) == {"red", "green"}
    assert server.tell(deleted(1))["status"] == "remembered"
    assert not found_labels(server)


def test_start_training_reaches_what_trains(server):
    result = server.tell({"action": "START_TRAINING", "project": PROJECT_BODY})
    assert result == {"status": "ignored", "action": "START_TRAINING", "message": "grabcut cannot be trained."}


def test_the_tasks_of_train_are_remembered_before_a_training_is_started(server):
    project = "3.1795411201"
    setup(server, project)
    annotations = [{"id": 7, "result": [region(label, mask) for label, mask in TAUGHT[1]]}]
    body = {"annotations": [task(data_url(png(TAUGHT[0])), 5, annotations=annotations)], "label_config": COLOURS}
    assert server.post("/train", body | {"project": project}).status_code == 201
    (result,) = (server.jobs / project).glob("*/job_result.json")
    assert json.loads(result.read_text())["train_output"]["message"] == "grabcut cannot be trained."
    assert wait_for(lambda: found_labels(server, project)) == {"red", "green"}


def test_train_without_tasks_is_told_in_what_the_training_returned(server):
    setup(server)
    assert server.post("/train", {"project": "9.1", "label_config": COLOURS}).status_code == 201
    (result,) = (server.jobs / "9.1").glob("*/job_result.json")
    assert json.loads(result.read_text())["train_output"]["status"] == "failed"
