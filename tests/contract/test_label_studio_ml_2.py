"""SamInspectModel in the server of label-studio-ml 2.x, for which `label_studio_ml_2` stands in."""

import sys
import threading
from importlib import import_module
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from annotation_events import ASKED, PROJECT_BODY, TAUGHT, deleted, event
from annotation_events import CONFIG as COLOURS
from colour_segmenter import ColourSegmenter
from label_studio_ml_pages import write_documented_files
from label_studio_requests import (
    CONFIG,
    PROJECT,
    batch,
    click,
    data_url,
    defect_image,
    interactive,
    png,
    rectangle,
    task,
)
from loopback import serving
from sam_backend.core import backend as backend_module
from sam_backend.core.trainings import Trainings
from sam_backend.errors import BadRequestError, WeightsError
from sam_backend.segmenters.correcting import Correcting
from sam_backend.settings import Settings
from services import make_app
from threshold_segmenter import SERVED_VERSION, ThresholdSegmenter
from tokens import LEGACY

STAND_IN = Path(__file__).parents[1] / "label_studio_ml_2"
IMPORTED = ("_wsgi", "model", "label_studio_ml", "sam_backend.label_studio_ml")
SETUP = {"project": PROJECT, "schema": CONFIG, "hostname": "", "access_token": LEGACY, "extra_params": None}
TIMEOUT = 60


class Server:
    """The server of the documented files, and the backends that its models made."""

    def __init__(self, app, backends):
        self.app = app
        self.backends = backends

    def post(self, path, body):
        return self.app.test_client().post(path, json=body)

    def predict(self, body):
        response = self.post("/predict", body)
        assert response.status_code == 200, response.text
        return response.json["results"]

    def send(self, body):
        response = self.post("/webhook", body)
        assert response.status_code == 201, response.text
        assert all(backend.learner.wait(TIMEOUT) for backend in self.backends)
        return response.json["result"]


def forget_imports():
    for name in [name for name in sys.modules if name in IMPORTED or name.startswith("label_studio_ml.")]:
        del sys.modules[name]


@pytest.fixture
def make_server(monkeypatch, tmp_path):
    backends, assemble = [], backend_module.assemble

    def assemble_and_keep(*given, **options):
        backends.append(assemble(*given, **options))
        return backends[-1]

    def make(load):
        monkeypatch.setattr(backend_module, "assemble", assemble_and_keep)
        monkeypatch.setattr(backend_module, "load_segmenter", lambda *_, **__: Correcting(load()))
        for name in ("home", "cache"):
            monkeypatch.setenv(f"SAM_INSPECT_{name.upper()}", str(tmp_path / name))
        write_documented_files(tmp_path, version=2)
        for folder in (STAND_IN, tmp_path):
            monkeypatch.syspath_prepend(folder)
        return Server(import_module("_wsgi").app, backends)

    forget_imports()
    yield make
    for backend in backends:
        backend.stop()
    forget_imports()


@pytest.fixture
def segmenter():
    return ThresholdSegmenter()


@pytest.fixture
def server(make_server, segmenter):
    return make_server(lambda: segmenter)


@pytest.fixture
def service(tmp_path):
    own = Settings(home=tmp_path / "own-home", cache=tmp_path / "own-cache")
    with TestClient(make_app(ThresholdSegmenter(), own)) as client:
        yield client


def without_ids(results):
    """Return the results without region ids, which are random."""
    listed = [result if isinstance(result, list) else [result] for result in results]
    return [
        [{**entry, "result": [region | {"id": ""} for region in entry["result"]]} for entry in entries]
        for entries in listed
    ]


@pytest.mark.parametrize(
    "body",
    [
        interactive(click(25, 15)),
        interactive(click(25, 15), click(45, 15), click(5, 5, positive=False)),
        interactive(rectangle(18, 8, 32, 22)),
        interactive(click(5, 5, positive=False)),
        batch(task(), task("data:image/png;base64,aGVsbG8=", 2), task("https://127.0.0.1:1/x.png", 3), task(number=4)),
    ],
    ids=["a click", "three clicks", "a rectangle", "a negative click alone", "a batch with broken tasks"],
)
def test_predictions_are_equal_to_those_of_our_service(server, service, body):
    expected = service.post("/predict", json=body).json()["results"]
    server.post("/setup", SETUP)
    # Without a loaded model, some answers would contain its name instead of its version.
    server.backends[0].model.get(TIMEOUT)
    assert without_ids(server.predict(body)) == without_ids(expected)


@pytest.mark.parametrize(
    "body",
    [
        interactive(click(25, 15, "Kratzer gro\u00df, d\u0142ugi")),
        interactive(click(125, 15)),
        interactive(click(25, 15), image=data_url(b"no image")),
        interactive(click(25, 15), image="https://127.0.0.1:1/x.png"),
        interactive(click(25, 15), config="<View/>"),
        batch(),
    ],
    ids=["unknown label", "outside", "unreadable", "unreachable", "no image tag", "no tasks"],
)
def test_an_error_is_in_the_status_line_as_with_our_service(server, service, body):
    expected = service.post("/predict", json=body)
    response = server.post("/predict", body)
    assert response.status_code == expected.status_code
    sentence = expected.json()["error"]
    shown = sentence.encode("latin-1", "replace").decode("latin-1")
    assert response.status == f"{expected.status_code} {shown}"
    assert response.json["detail"] == sentence
    assert "Traceback" not in response.text


def test_setup_answers_the_version_and_does_not_wait_for_the_model(make_server):
    loaded = threading.Event()

    def load():
        assert loaded.wait(TIMEOUT)
        return ThresholdSegmenter()

    server = make_server(load)
    assert server.post("/setup", SETUP).json == {"model_version": "nano"}
    loaded.set()
    (result,) = server.predict(interactive(click(25, 15)))
    assert result["model_version"] == SERVED_VERSION
    assert server.post("/setup", SETUP).json == {"model_version": SERVED_VERSION}


def test_a_model_that_cannot_be_loaded_answers_with_the_reason(make_server):
    def load():
        raise WeightsError("The checkpoint is missing; put it there.")

    response = make_server(load).post("/predict", interactive(click(25, 15)))
    assert response.status == "503 The checkpoint is missing; put it there."


def test_all_instances_share_one_model_and_its_embeddings(make_server, segmenter):
    loads = []
    server = make_server(lambda: loads.append(1) or segmenter)
    bodies = [SETUP, *(interactive(click(x, 15)) for x in (25, 45) for _ in range(4))]
    asking = [
        threading.Thread(target=server.post, args=("/predict" if "tasks" in body else "/setup", body))
        for body in bodies
    ]
    for thread in asking:
        thread.start()
    for thread in asking:
        thread.join(TIMEOUT)
    assert len(segmenter.asked) == 8
    assert len(loads) == len(server.backends) == segmenter.encoded == 1


def test_images_come_from_the_label_studio_that_called_setup(server):
    with serving() as label_studio:
        label_studio.routes["/data/upload/1/x.png"] = png(defect_image())
        body = interactive(click(25, 15), image="/data/upload/1/x.png")
        server.post("/setup", SETUP | {"hostname": label_studio.url})
        assert server.predict(body)[0]["result"]
        assert label_studio.requests[0][0]["Authorization"] == f"Token {LEGACY}"
        # The same project number on another Label Studio.
        assert server.post("/predict", body | {"project": "1.1700000000"}).status_code == 400


def test_setup_refuses_a_hostname_that_is_not_an_address(server):
    assert "LABEL_STUDIO_HOST" in server.post("/setup", SETUP | {"hostname": "label-studio:8080"}).status


def predicted_labels(server, project=PROJECT):
    (result,) = server.predict(batch(task(data_url(png(ASKED[0]))), config=COLOURS, project=project))
    return sorted(tuple(region["value"]["brushlabels"]) for region in result["result"])


def test_annotations_become_examples_until_they_are_deleted(make_server):
    server = make_server(ColourSegmenter)
    assert server.send(event("ANNOTATION_CREATED")) == {"status": "remembered", "action": "ANNOTATION_CREATED"}
    assert predicted_labels(server) == [("green",), ("red",)]
    assert ("red",) not in predicted_labels(server, "1.1700000000")
    server.send(event("ANNOTATION_UPDATED", second=1, masks=TAUGHT[1][1:]))
    assert predicted_labels(server) == [("green",)]
    server.send(deleted(1))
    assert ("green",) not in predicted_labels(server)


def test_start_training_starts_a_training_and_returns_its_message(server, monkeypatch):
    asked = []
    monkeypatch.setattr(Trainings, "start", lambda _self, project: (asked.append(project) is None, "It was started."))
    result = server.send({"action": "START_TRAINING", "project": PROJECT_BODY})
    assert result == {"status": "started", "action": "START_TRAINING", "message": "It was started."}
    assert asked == [PROJECT]


def test_an_invalid_webhook_is_reported_in_its_answer(server):
    result = server.send({"action": "START_TRAINING", "project": PROJECT_BODY | {"created_at": "soon"}})
    assert result["status"] == "failed"
    assert "'project.created_at'" in result["message"]


def test_an_event_that_cannot_be_kept_is_answered_503(server, monkeypatch):
    def refuse(*_arguments, **_more):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("sam_backend.memory.record_files.write_whole", refuse)
    response = server.post("/webhook", event("ANNOTATION_CREATED"))
    assert response.status_code == 503
    assert "No space left on device" in response.text


def test_outside_a_request_it_answers_and_raises_our_own_errors(server):
    model = import_module("model").SamInspectModel(project_id="1", label_config=CONFIG)
    body = interactive(click(25, 15))
    (result,) = model.predict(body["tasks"], context=body["params"]["context"])
    assert result["result"]
    model.setup()
    assert model.get("model_version") == SERVED_VERSION
    with pytest.raises(BadRequestError, match="inside the image"):
        model.predict(body["tasks"], context={"result": [click(125, 15)]})


def test_a_password_that_would_protect_nothing_is_refused(make_server, monkeypatch):
    monkeypatch.setenv("SAM_INSPECT_BASIC_AUTH_USER", "label")
    monkeypatch.setenv("SAM_INSPECT_BASIC_AUTH_PASS", "secret")
    response = make_server(ThresholdSegmenter).post("/setup", SETUP)
    assert response.status_code == 500
    assert "BASIC_AUTH_USER" in response.status
