import json

import pytest

from loopback import send, serving
from sam_backend.errors import BadRequestError, ImageServerError
from sam_backend.labelstudio.projects import open_project
from sam_backend.labelstudio.servers import ServerRegistry
from tokens import LEGACY

PROJECT = {"id": 3, "created_at": "2026-11-23T15:41:34.787583Z", "label_config": "<View/>"}


@pytest.fixture
def label_studio():
    with serving() as server:
        server.routes["/api/projects/3/"] = json.dumps(PROJECT).encode()
        yield server


@pytest.fixture
def servers(tmp_path, label_studio):
    return ServerRegistry(tmp_path, url=label_studio.url, api_key=LEGACY)


def test_a_project_is_known_by_the_name_that_label_studio_gives_it_to_backends(servers):
    project = open_project(servers, "3")
    assert (project.id, project.uid, project.label_config) == (3, "3.1795448494", "<View/>")
    assert LEGACY not in repr(project)


def test_all_pages_of_tasks_are_read(servers, label_studio):
    def answer(request):
        first = 100 * (int(request.path.partition("&page=")[2].partition("&")[0]) - 1)
        tasks = [
            {"id": number, "data": {}, "annotations": [{"id": 1}] * (number % 2), "predictions": []}
            for number in range(first, min(first + 100, 230))
        ]
        send(request, json.dumps({"tasks": tasks, "total": 230}).encode())

    label_studio.routes["/api/tasks/"] = answer
    tasks = list(open_project(servers, "3").tasks())
    assert [task.id for task in tasks] == list(range(230))
    assert [task.is_labelled for task in tasks[:2]] == [False, True]


@pytest.mark.parametrize(
    ("answer", "reason"), [(404, "404 about project 3: there is no such project"), (b"<html>", "JSONDecodeError")]
)
def test_a_refusal_is_told_in_one_sentence(servers, label_studio, answer, reason):
    label_studio.routes["/api/projects/3/"] = answer
    with pytest.raises(ImageServerError, match=reason):
        open_project(servers, "3")


def test_an_unknown_project_is_told_with_what_to_set(tmp_path):
    with pytest.raises(BadRequestError, match=r"No Label Studio with a project 4 is known here.*SAM_INSPECT_LABEL"):
        open_project(ServerRegistry(tmp_path), "4")
