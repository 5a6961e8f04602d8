"""Before the application is loaded, `/health` is answered, and other requests wait for it."""

import threading

import pytest
from fastapi.testclient import TestClient

from label_studio_requests import click, interactive
from sam_backend.errors import SamInspectError
from sam_backend.service.starting import StartingApp
from services import make_app
from waiting import PATIENCE, wait_for


@pytest.fixture
def loading():
    """Set it to let the application load."""
    event = threading.Event()
    yield event
    event.set()


@pytest.fixture
def start(make_settings, segmenter, loading):
    def make(load=None, **fields):
        settings = make_settings(**fields)

        def wait_and_load():
            assert loading.wait(PATIENCE)
            return load() if load else make_app(segmenter, settings)

        return StartingApp("nano", settings, wait_and_load, failures.append)

    failures = make.failures = []
    return make


@pytest.mark.parametrize("path", ["/", "/health"])
def test_health_says_that_the_service_starts_and_then_that_it_is_up(start, loading, path):
    with TestClient(start()) as client:
        assert client.get(path).json() == {"status": "starting", "model_class": "nano", "model_version": "nano"}
        loading.set()
        wait_for(lambda: client.get(path).json()["status"] == "UP")
        assert client.get(path).json()["model_version"] != "nano"


def test_a_click_waits_for_the_application(start, loading):
    answers = []
    with TestClient(start()) as client:
        asking = threading.Thread(
            target=lambda: answers.append(client.post("/predict", json=interactive(click(25, 15))))
        )
        asking.start()
        client.get("/health")
        assert not answers
        loading.set()
        asking.join(PATIENCE)
    assert answers[0].json()["results"][0]["result"]


def test_health_asks_for_the_password_from_the_first_moment(start, loading):
    with TestClient(start(basic_auth_user="ls", basic_auth_pass="right")) as client:
        assert client.get("/health").status_code == 401
        assert client.get("/health", auth=("ls", "right")).json()["status"] == "starting"
        assert client.get("/").json()["status"] == "starting"
        # The end of the server waits for its start.
        loading.set()


def test_an_application_that_cannot_be_loaded_is_reported_and_nobody_waits_for_it(start, loading):
    def fail():
        raise SamInspectError("There is no model 'nanno'.")

    loading.set()
    with TestClient(start(fail)) as client:
        wait_for(lambda: start.failures)
        assert client.post("/predict", json={}).status_code == 503
    (failure,) = start.failures
    assert "nanno" in str(failure)


def test_the_end_of_the_server_stops_the_application(start, loading, segmenter, make_settings, monkeypatch):
    app, closed = make_app(segmenter, make_settings()), threading.Event()
    monkeypatch.setattr(app.state.backend.cache, "close", closed.set)
    loading.set()
    with TestClient(start(lambda: app)) as client:
        assert client.get("/versions").is_success
        assert not closed.is_set()
    assert closed.is_set()
