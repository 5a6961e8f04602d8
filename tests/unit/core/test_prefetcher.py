"""The images of the tasks that come next are encoded before anybody clicks on them."""

import json
import threading

import pytest

from label_studio_requests import CONFIG, PROJECT, batch, click, defect_image, interactive, png, task
from loopback import send, serving
from sam_backend.core.prefetcher import _SPACING
from tokens import LEGACY
from waiting import PATIENCE

UPCOMING = 3
SETUP = {"project": PROJECT, "schema": CONFIG, "access_token": LEGACY}


def path(number):
    return f"/data/upload/1/{number}.png"


@pytest.fixture
def label_studio():
    """A Label Studio with ten tasks; the image of each is its own."""
    with serving() as server:
        project = {"id": 1, "created_at": "2026-11-23T05:20:01.714782Z", "label_config": CONFIG}
        server.routes["/api/projects/1/"] = json.dumps(project).encode()
        server.routes["/api/dm/views/"] = b"[]"
        tasks = [task(path(number), number) for number in range(10)]
        server.routes["/api/tasks/"] = json.dumps({"tasks": tasks, "total": 10}).encode()
        server.routes |= {path(number): png(defect_image() + number) for number in range(10)}
        yield server


@pytest.fixture
def client(make_client, label_studio):
    connected = {"label_studio_url": label_studio.url, "label_studio_api_key": LEGACY}
    return make_client(prefetch=UPCOMING, **connected)


def prefetched(client, label_studio):
    """Return the images that were fetched once all is done."""
    assert client.app.state.backend.prefetcher.wait(PATIENCE)
    return [address for address in label_studio.paths() if address.startswith("/data/")]


def test_after_a_click_the_next_tasks_are_ready(client, label_studio, segmenter):
    clicked = client.post("/predict", json=interactive(click(25, 15), image=path(0), number=0))
    assert clicked.status_code == 200
    assert prefetched(client, label_studio) == [path(number) for number in range(1 + UPCOMING)]
    # The metrics count what requests find, not what is encoded ahead.
    assert 'cache_misses_total{layer="memory"} 1.0' in client.get("/metrics").text
    encoded = segmenter.encoded
    client.post("/predict", json=interactive(click(25, 15), image=path(2), number=2))
    prefetched(client, label_studio)
    assert segmenter.encoded == encoded


def readings(label_studio):
    """Return how often the order of the tasks was read."""
    return sum(address.startswith("/api/projects/") for address in label_studio.paths())


@pytest.mark.parametrize("route", ["setup", "webhook"])
def test_before_the_first_click_the_first_tasks_are_ready(client, label_studio, route):
    project = {"id": 1, "created_at": "2026-11-23T05:20:01.714782Z"}
    body = (
        SETUP | {"hostname": label_studio.url} if route == "setup" else {"action": "TASKS_CREATED", "project": project}
    )
    assert client.post(f"/{route}", json=body).status_code == 200
    assert prefetched(client, label_studio) == [path(number) for number in range(UPCOMING)]


def test_an_import_task_by_task_is_read_every_few_seconds(client, label_studio, monkeypatch):
    clock = [100.0]
    monkeypatch.setattr("sam_backend.core.prefetcher.monotonic", lambda: clock[0])
    created = {"action": "TASKS_CREATED", "project": {"id": 1, "created_at": "2026-11-23T05:20:01.714782Z"}}
    client.post("/webhook", json=created)
    prefetched(client, label_studio)
    label_studio.routes["/api/tasks/"] = json.dumps({"tasks": [task(path(9), 9)], "total": 1}).encode()
    for _ in range(5):
        client.post("/webhook", json=created)
    assert readings(label_studio) == 1
    clock[0] += _SPACING
    client.post("/webhook", json=created)
    assert prefetched(client, label_studio)[-1] == path(9)
    assert readings(label_studio) == 2


def test_the_same_page_reads_the_order_once_a_minute(client, label_studio):
    for _ in range(2):
        client.post("/predict", json=interactive(click(25, 15), image=path(0), number=0))
        prefetched(client, label_studio)
    assert readings(label_studio) == 1


def test_an_image_that_cannot_be_fetched_costs_itself_and_is_told_once(client, label_studio, caplog):
    del label_studio.routes[path(1)]
    for number in (0, 9):
        client.post("/predict", json=interactive(click(25, 15), image=path(number), number=number))
        fetched = prefetched(client, label_studio)
    assert {path(2), path(3)} <= set(fetched)
    told = [record.getMessage() for record in caplog.records if "refetching task 1 " in record.getMessage()]
    assert len(told) == 1
    assert f"{path(1)} could not be fetched" in told[0]


def test_a_label_studio_that_went_away_costs_no_answer(client, label_studio, caplog):
    label_studio.routes["/api/projects/1/"] = 403
    answer = client.post("/predict", json=interactive(click(25, 15), image=path(0), number=0))
    assert answer.status_code == 200
    assert prefetched(client, label_studio) == [path(0)]
    assert "Reading the next tasks of project 1.1795411201 does not work" in caplog.text


def test_images_that_would_fill_half_of_the_memory_end_it(make_client, label_studio):
    connected = {"label_studio_url": label_studio.url, "label_studio_api_key": LEGACY}
    label_studio.routes |= {path(number): png(defect_image().repeat(20, 0).repeat(20, 1)) for number in range(10)}
    # Each embedding takes 6.7 MB.
    client = make_client(prefetch=9, embedding_memory_mb=20, **connected)
    client.post("/predict", json=interactive(click(25, 15), image=path(0), number=0))
    assert prefetched(client, label_studio) == [path(0), path(1), path(2)]


def test_a_task_with_many_images_has_all_of_them_encoded(make_client, label_studio):
    config = CONFIG.replace('value="$image"', 'valueList="$images"')
    project = {"id": 1, "created_at": "2026-11-23T05:20:01.714782Z", "label_config": config}
    label_studio.routes["/api/projects/1/"] = json.dumps(project).encode()
    tasks = [{"id": 5, "data": {"images": [path(5), path(6)]}}]
    label_studio.routes["/api/tasks/"] = json.dumps({"tasks": tasks, "total": 1}).encode()
    client = make_client(prefetch=1, label_studio_url=label_studio.url, label_studio_api_key=LEGACY)
    client.post("/predict", json=batch(task(path(0), 0)))
    assert prefetched(client, label_studio) == [path(0), path(5), path(6)]


def test_of_two_servers_one_passes_over_what_the_other_encodes_at_this_moment(make_client, label_studio, segmenter):
    under_way, goes_on = threading.Event(), threading.Event()

    def slowly(handler):
        under_way.set()
        assert goes_on.wait(PATIENCE)
        send(handler, png(defect_image() + 1))

    label_studio.routes[path(1)] = slowly
    connected = {"label_studio_url": label_studio.url, "label_studio_api_key": LEGACY}
    one, other = (make_client(prefetch=UPCOMING, **connected) for _ in range(2))
    asked = interactive(click(25, 15), image=path(0), number=0)
    one.post("/predict", json=asked)
    one.app.state.backend.cache.unkept(wait=True)
    assert under_way.wait(PATIENCE)
    other.post("/predict", json=asked)
    assert prefetched(other, label_studio) == [path(0), path(1), path(2), path(3)]
    other.app.state.backend.cache.unkept(wait=True)
    goes_on.set()
    prefetched(one, label_studio)
    assert segmenter.encoded == 1 + UPCOMING
