"""An order of the tasks never destroys a prediction."""

import json

import numpy as np
import pytest

from annotation_events import ASKED, CONFIG, TAUGHT, event, task
from colour_segmenter import ColourSegmenter, surface
from loopback import send, serving
from sam_backend.core.project_work import ProjectWork
from sam_backend.core.proposers import Proposers
from sam_backend.labelstudio.messages import Event, parse_message
from sam_backend.labelstudio.projects import open_project
from sam_backend.memory.ranking.strategies import find_strategy
from sam_backend.progress import no_progress
from sam_backend.segmenters.correcting import Correcting
from tokens import LEGACY

VERSION = Correcting(ColourSegmenter()).version
PROJECT = {"id": 1, "created_at": "2026-11-23T05:20:01.714782Z", "label_config": CONFIG}


@pytest.fixture
def label_studio():
    """A Label Studio whose task 1 has a prediction of the model and task 2 has none; task 3 shows no object."""
    with serving() as server:
        tasks = [
            {**task(1, ASKED[0]), "predictions": [{"id": 8, "model_version": VERSION}]},
            task(2, TAUGHT[0]),
            {**task(3, surface(3)[0]), "predictions": [{"id": 9, "model_version": VERSION}]},
        ]
        server.routes["/api/projects/1/"] = json.dumps(PROJECT).encode()
        server.routes["/api/tasks/"] = json.dumps({"tasks": tasks, "total": 3}).encode()
        server.calls = []

        def answer(request):
            body = server.requests[-1][2]
            server.calls.append((request.command, request.path, json.loads(body or "null")))
            send(request, b"{}")

        for path in ("/api/predictions/", "/api/predictions/8/", "/api/predictions/9/"):
            server.routes[path] = answer
        yield server


@pytest.fixture
def rank(make_client, label_studio):
    client = make_client(ColourSegmenter(), label_studio_url=label_studio.url, label_studio_api_key=LEGACY)
    backend = client.app.state.backend

    def run(*events):
        for body in events:
            assert backend.learner.handle(parse_message(body, Event))
        assert backend.learner.wait(60)
        project = open_project(backend.servers, "1")
        segmenter = backend.model.get(10)
        memory, proposers = backend.memories.of(project.uid), Proposers(backend.settings.home)
        work = ProjectWork(project, memory, segmenter, backend.learner._embeddings, proposers)
        work.rank(find_strategy("random"), 0, no_progress, no_progress)
        return label_studio.calls

    return run


def test_without_examples_a_prediction_keeps_its_masks_and_a_task_without_one_gets_masks(rank):
    calls = rank()
    patched = {path for method, path, _ in calls if method == "PATCH"}
    assert patched == {"/api/predictions/8/", "/api/predictions/9/"}
    assert all(set(body) == {"score"} for method, _, body in calls if method == "PATCH")
    (posted,) = [body for method, _, body in calls if method == "POST"]
    assert posted["task"] == 2
    assert posted["result"]
    assert "DELETE" not in {method for method, _, _ in calls}
    scores = sorted(body["score"] for _, _, body in calls)
    np.testing.assert_allclose(scores, [0, 1 / 3, 2 / 3], atol=1e-3)


def test_with_examples_only_masks_replace_a_prediction(rank):
    calls = rank(event("ANNOTATION_CREATED", number=7))
    assert {path for method, path, _ in calls if method == "PATCH"} == {"/api/predictions/9/"}
    assert {body["task"] for method, _, body in calls if method == "POST"} == {1, 2}
    assert all(body["result"] for method, _, body in calls if method == "POST")
    assert [path for method, path, _ in calls if method == "DELETE"] == ["/api/predictions/8/"]
