"""An event that cannot be kept is answered 5xx and made up for; a bad part of an event costs that part."""

import json

import pytest

from annotation_events import PROJECT_BODY, TAUGHT, deleted, event, region
from colour_segmenter import ColourSegmenter
from label_studio_requests import PROJECT
from loopback import serving
from sam_backend.memory.example_store import ExampleStore
from tokens import LEGACY

TIMEOUT = 60


@pytest.fixture
def label_studio():
    with serving() as server:
        yield server


@pytest.fixture
def client(make_client, label_studio):
    return make_client(ColourSegmenter(), label_studio_url=label_studio.url, label_studio_api_key=LEGACY)


def learnt(client):
    backend = client.app.state.backend
    assert backend.learner.wait(TIMEOUT)
    return sorted(key[0] for key in backend.memories.of(PROJECT).store.example_heads(backend.model.version))


def annotations(client):
    heads = client.app.state.backend.memories.of(PROJECT).store.heads()
    return {head.annotation: head.left_out for head in heads if not head.deleted}


@pytest.fixture
def full_disk(monkeypatch):
    """A home folder that cannot be written until the fixture is called."""

    def refuse(*_arguments, **_more):
        raise OSError(28, "No space left on device")

    patched = pytest.MonkeyPatch()
    for name in ("write_whole", "make_folder"):
        patched.setattr(f"sam_backend.memory.record_files.{name}", refuse)
    yield patched.undo
    patched.undo()


@pytest.mark.parametrize("action", ["ANNOTATION_CREATED", "ANNOTATIONS_DELETED", "TASKS_DELETED"])
def test_an_event_that_cannot_be_kept_is_answered_503_with_the_reason(client, full_disk, action):
    body = {
        "ANNOTATION_CREATED": event(action),
        "ANNOTATIONS_DELETED": deleted(1),
        "TASKS_DELETED": {"action": action, "tasks": [{"id": 1}], "project": PROJECT_BODY},
    }[action]
    response = client.post("/webhook", json=body)
    assert response.status_code == 503
    assert "cannot be kept: [Errno 28] No space left on device" in response.json()["error"]
    full_disk()
    assert client.post("/webhook", json=body).json()["status"] == "remembered"


@pytest.mark.parametrize("restarted", [False, True], ids=["the same process", "another process"])
def test_what_could_not_be_kept_is_read_from_label_studio_when_there_is_room(
    client, make_client, label_studio, full_disk, restarted
):
    missed = event("ANNOTATION_CREATED", number=1)
    assert client.post("/webhook", json=missed).status_code == 503
    project = {**PROJECT_BODY, "label_config": missed["project"]["label_config"]}
    held = {**missed["task"], "annotations": [missed["annotation"]]}
    label_studio.routes["/api/projects/1/"] = json.dumps(project).encode()
    label_studio.routes["/api/tasks/"] = json.dumps({"tasks": [held], "total": 1}).encode()
    full_disk()
    if restarted:
        settings = {"label_studio_url": label_studio.url, "label_studio_api_key": LEGACY}
        client = make_client(ColourSegmenter(), **settings)
    assert client.get("/status").json()["memory"][PROJECT]["incomplete"]
    assert client.post("/webhook", json=deleted(77)).status_code == 200
    assert learnt(client) == [1]
    assert client.get("/status").json()["memory"] == {}
    asked = len(label_studio.requests)
    assert client.post("/webhook", json=deleted(78)).status_code == 200
    assert learnt(client) == [1]
    assert len(label_studio.requests) == asked


def test_a_label_studio_that_does_not_answer_is_not_asked_for_each_event(client, label_studio, full_disk):
    assert client.post("/webhook", json=event("ANNOTATION_CREATED")).status_code == 503
    full_disk()
    for number in (2, 3, 4):
        assert client.post("/webhook", json=event("ANNOTATION_CREATED", number=number)).status_code == 200
        assert number in learnt(client)
    assert label_studio.paths() == ["/api/projects/1/"]
    assert client.get("/status").json()["memory"][PROJECT]["incomplete"]


def test_a_bad_annotation_of_a_bulk_event_does_not_drop_the_good_ones(client):
    good, bad = event("ANNOTATION_CREATED", number=1), event("ANNOTATION_CREATED", number=2)
    for number, wrong in enumerate([{"id": [3]}, {"result": "none"}, {"id": 10**400}, {"id": -1}, "annotation"]):
        broken = {**bad["annotation"], **wrong} if isinstance(wrong, dict) else wrong
        body = {
            "action": "ANNOTATIONS_CREATED",
            "project": good["project"],
            "annotations": [broken, {**good["annotation"], "id": 100 + number}],
            "tasks": [good["task"], bad["task"]],
        }
        response = client.post("/webhook", json=body)
        assert response.status_code == 200, response.text
        assert "Item 0 of 'annotations' is left out" in response.json()["message"]
    assert learnt(client) == [100, 101, 102, 103, 104]
    reasons = client.get("/status").json()["memory"][PROJECT]["reasons"]
    assert any("Item 0 of 'annotations' is left out" in reason for reason in reasons)


def test_a_bad_task_of_a_bulk_event_costs_its_own_annotations(client):
    good, bad = event("ANNOTATION_CREATED", number=1), event("ANNOTATION_CREATED", number=2)
    for broken in ({**bad["task"], "data": {}}, {**bad["task"], "data": 5}, {**bad["task"], "data": {"image": [None]}}):
        body = {
            "action": "ANNOTATIONS_CREATED",
            "project": good["project"],
            "annotations": [bad["annotation"], good["annotation"]],
            "tasks": [broken, good["task"]],
        }
        response = client.post("/webhook", json=body)
        assert response.status_code == 200, response.text
        assert learnt(client) == [1]
        assert annotations(client)[2]
        client.app.state.backend.memories.of(PROJECT).store.forget()


@pytest.mark.parametrize(
    "poison",
    [
        {"original_width": 10**30},
        {"original_width": 10**9, "original_height": 10**9},
        {"original_width": float("nan")},
        {"original_width": "160"},
        {"id": [1, 2]},
        {"id": {"a": 1}},
        {"to_name": ["image"]},
        {"item_index": [0]},
        {"item_index": 10**30},
        {"value": {"format": "rle", "rle": [0] * 9, "brushlabels": ["red"]}},
        {"value": {"format": "rle", "rle": {"a": 1}, "brushlabels": [["red"]]}},
        {"value": {"points": [[float("nan"), 1], [2, 3], [4, 5]], "polygonlabels": ["red"]}},
        {"value": None},
        {"type": None, "from_name": None},
    ],
    ids=str,
)
def test_a_poisoned_annotation_is_set_aside_and_the_rest_is_learnt(client, make_client, poison):
    regions = [{**region(label, mask), **poison} for label, mask in TAUGHT[1]]
    poisoned = json.dumps(event("ANNOTATION_CREATED", number=1, result=regions))
    response = client.post("/webhook", content=poisoned, headers={"content-type": "application/json"})
    assert response.status_code < 500
    assert client.post("/webhook", json=event("ANNOTATION_CREATED", number=2, second=1)).status_code == 200
    assert 2 in learnt(client)
    again = make_client(ColourSegmenter("colour-2"))
    assert again.post("/webhook", json=event("ANNOTATION_CREATED", number=3, second=2)).status_code == 200
    assert again.app.state.backend.learner.wait(TIMEOUT)
    heads = again.app.state.backend.memories.of(PROJECT).store.example_heads(again.app.state.backend.model.version)
    assert {(2, 0), (3, 0)} <= set(heads)
    assert not heads[2, 0].problem
    assert not heads[3, 0].problem


@pytest.mark.parametrize("updated", ["", "yesterday", "9999-12-31T23:59:59.999999-23:59", "0001-01-01T00:00:00+23:59"])
def test_an_odd_time_of_change_is_no_obstacle(client, updated):
    assert client.post("/webhook", json=event("ANNOTATION_CREATED", updated_at=updated)).status_code == 200
    assert learnt(client) == [1]


def test_a_task_that_was_deleted_before_its_annotation_came_gives_no_example(client):
    for body in ({"action": "TASKS_DELETED", "tasks": [{"id": "1"}, {"id": 5}], "project": PROJECT_BODY},) * 2:
        assert client.post("/webhook", json=body).json()["status"] == "remembered"
    assert client.post("/webhook", json=event("ANNOTATION_CREATED")).status_code == 200
    assert learnt(client) == []
    assert annotations(client) == {}


def test_an_id_that_is_no_number_is_a_400_alone_and_left_out_of_several(client):
    response = client.post("/webhook", json=deleted("abc"))
    assert response.status_code == 400
    assert "abc" in response.text or "integer" in response.text
    assert client.post("/webhook", json=event("ANNOTATION_CREATED")).status_code == 200
    assert learnt(client) == [1]
    assert "is left out" in client.post("/webhook", json=deleted("abc", 1)).json()["message"]
    assert learnt(client) == []


@pytest.mark.parametrize("number", ["x", "9" * 30, str(2**63)])
def test_the_id_of_a_task_that_is_no_number_of_64_bits_is_a_400(client, number):
    body = {"action": "TASKS_DELETED", "tasks": [{"id": number}], "project": PROJECT_BODY}
    assert client.post("/webhook", json=body).status_code == 400


def test_examples_that_are_damaged_cost_themselves(client):
    for number in (1, 2):
        client.post("/webhook", json=event("ANNOTATION_CREATED", number=number, second=number))
    assert learnt(client) == [1, 2]
    store = client.app.state.backend.memories.of(PROJECT).store
    (path,) = store.folder.glob("examples/*/1.npz")
    path.write_bytes(b"PK\x03\x04" + bytes(100))
    (store.folder / "annotations" / "2.json").write_text("[" * 100_000)
    fresh = ExampleStore(store.folder)
    fresh.verify()
    assert client.post("/webhook", json=event("ANNOTATION_CREATED", number=3, second=3)).status_code == 200
    assert learnt(client) == [1, 3]
    reasons = client.get("/status").json()["memory"][PROJECT]["reasons"]
    assert any("damaged" in reason for reason in reasons)


def test_a_project_whose_id_names_no_folder_stays_in_the_home_folder(client, make_settings):
    home = make_settings().home
    for project in ("../../x", ".", "..", "a/b", "x" * 250, "1.2\0", "ü" * 60, "~", ""):
        memory = client.app.state.backend.memories.of(project)
        memory.store.gaps.mark_incomplete()
        assert memory.store.folder.parent == home / "memory"
        assert len(memory.store.folder.name.encode()) < 200
    assert len(list((home / "memory").iterdir())) == 9
