import json
from urllib.parse import parse_qs

import pytest

from loopback import send, serving
from sam_backend.errors import BadRequestError, ImageServerError
from sam_backend.labelstudio.projects import ProjectTask, TaskPrediction, find_project, open_project
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


def test_a_task_that_cannot_be_read_costs_itself_and_is_named(servers, label_studio, caplog):
    tasks = [{"id": 1, "data": None}, "no task", {"id": 2, "data": {"image": "a.png"}}]
    label_studio.routes["/api/tasks/"] = json.dumps({"tasks": tasks, "total": 3}).encode()
    assert [task.id for task in open_project(servers, "3").tasks()] == [2]
    assert "task 1, 'data': Input should be a valid dictionary" in caplog.text
    assert "task without an id" in caplog.text


@pytest.mark.parametrize(
    ("answer", "reason"), [(404, "404 about project 3: there is no such project"), (b"<html>", "JSONDecodeError")]
)
def test_a_refusal_is_reported_in_one_sentence(servers, label_studio, answer, reason):
    label_studio.routes["/api/projects/3/"] = answer
    with pytest.raises(ImageServerError, match=reason):
        open_project(servers, "3")


def test_an_unknown_project_is_reported_with_what_to_set(tmp_path):
    with pytest.raises(BadRequestError, match=r"No Label Studio with a project 4 is known here.*SAM_INSPECT_LABEL"):
        open_project(ServerRegistry(tmp_path), "4")


def test_an_id_that_two_servers_have_is_reported_with_their_uids(tmp_path):
    registry = ServerRegistry(tmp_path)
    for uid, host in (("3.100", "https://here.example"), ("3.200", "https://there.example")):
        registry.remember(uid, host, "token")
    with pytest.raises(BadRequestError, match=r"Several projects are called 3; name one of 3\.100, 3\.200"):
        find_project(registry, "3")
    known = find_project(registry, "3.200")
    assert (known.server.hostname, known.id, known.uid) == ("https://there.example", 3, "3.200")


def test_a_prediction_takes_the_place_of_those_of_its_model_version_and_orders_the_queue(servers, label_studio):
    for path in ("/api/predictions/", "/api/predictions/8/"):
        label_studio.routes[path] = b""
    project = open_project(servers, "3")
    prediction = {"result": [], "score": 0.5, "model_version": "nano-1"}
    earlier = [TaskPrediction(7, "nano-0"), TaskPrediction(8, "nano-1")]
    project.predict(ProjectTask(4, {}, predictions=earlier), prediction)
    project.queue_by_score("nano-1")
    assert [(path, json.loads(body or "null")) for _, path, body in label_studio.requests[1:]] == [
        ("/api/predictions/", {"task": 4, "project": 3, **prediction}),
        ("/api/predictions/8/", None),
        ("/api/projects/3/", {"sampling": "Uncertainty sampling", "model_version": "nano-1"}),
    ]


def test_a_list_of_tasks_asks_for_no_predictions_and_gives_addresses_as_requests_have_them(servers, label_studio):
    counts = {"is_labeled": False, "total_annotations": 0, "cancelled_annotations": 0}
    tasks = [
        {"id": number, "data": {"image": "s3://a/b.png"}, **counts, **more}
        for number, more in enumerate([{}, {"is_labeled": True}, {"cancelled_annotations": 1}])
    ]
    label_studio.routes["/api/tasks/"] = json.dumps({"tasks": tasks, "total": 3}).encode()
    listed = open_project(servers, "3").list_tasks({"ordering": ["-tasks:id"]}, page=20)
    assert [(task.id, task.data["image"], task.is_done) for task in listed] == [
        (0, "s3://a/b.png", False),
        (1, "s3://a/b.png", True),
        (2, "s3://a/b.png", True),
    ]
    query = parse_qs(label_studio.paths()[-1].partition("?")[2])
    assert query == {
        "project": ["3"],
        "page": ["1"],
        "page_size": ["20"],
        "resolve_uri": ["false"],
        "review": ["true"],
        "query": ['{"ordering": ["-tasks:id"]}'],
    }


def test_the_tabs_of_the_data_manager_are_read(servers, label_studio):
    tab = {"title": "New", "ordering": ["tasks:data.n"]}
    label_studio.routes["/api/dm/views/"] = json.dumps([{"id": 1, "data": tab}, {"id": 2, "data": None}]).encode()
    assert open_project(servers, "3").tabs() == [tab, {}]
