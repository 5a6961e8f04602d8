"""`GET /status` tells what the service does: as JSON, and as a page for browsers."""

import logging
import threading

import pytest

from label_studio_requests import batch, click, interactive, task
from sam_backend.core.device_queue import Rank
from sam_backend.segmenters.cache import EmbeddingSource
from sam_backend.service.recent import RecentClicks, RecentWarnings
from sam_backend.service.status_page import status_page


def status(client):
    return client.get("/status").json()


def page(client):
    answer = client.get("/status", headers={"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"})
    assert answer.headers["content-type"].startswith("text/html")
    return answer.text


def test_a_page_that_refreshes_itself_does_not_fill_the_log(client, caplog):
    caplog.set_level(logging.INFO, "sam_backend")
    page(client)
    assert not caplog.messages


def test_clicks_are_counted_with_their_times_and_where_their_images_came_from(client):
    assert status(client)["clicks"]["hit_rate"] is None
    for _ in range(4):
        client.post("/predict", json=interactive(click(25, 15)))
    client.post("/predict", json=batch(task()))
    client.post("/predict", json=interactive(click(25, 15, "unknown label")))
    clicks = status(client)["clicks"]
    assert clicks["images"] == {"encoder": 1, "memory": 3}
    assert (clicks["count"], clicks["hit_rate"]) == (4, 0.75)
    assert 0 < clicks["p50_ms"] <= clicks["p95_ms"]


def test_the_times_are_those_within_which_so_many_clicks_were_answered():
    clicks = RecentClicks()
    for milliseconds in range(1, 101):
        clicks.add(milliseconds / 1000, EmbeddingSource.DISK)
    summary = clicks.summary()
    assert (summary.p50_ms, summary.p95_ms, summary.hit_rate) == (50.0, 95.0, 1.0)
    for _ in range(2000):
        clicks.add(0.001, EmbeddingSource.ENCODER)
    assert clicks.summary().images == {"encoder": 1000}


def test_what_the_device_does_and_what_waits_is_told(client):
    queue = client.app.state.backend.queue
    held, begun = threading.Event(), threading.Event()

    def compute():
        with queue.job(Rank.BATCH, "predictions for tasks 1,2"), queue:
            begun.set()
            assert held.wait(30)

    thread = threading.Thread(target=compute)
    thread.start()
    assert begun.wait(30)
    told, shown = status(client)["queue"], page(client)
    held.set()
    thread.join(30)
    assert [one["doing"] for one in told["running"]] == ["predictions for tasks 1,2"]
    assert told["waiting"] == []
    assert told["requests"] == {"clicks": 0, "batches": 0}
    assert "predictions for tasks 1,2, 0." in shown


def test_the_fill_of_the_cache_follows_the_embeddings(client):
    assert status(client)["cache"]["memory_bytes"] == 0
    client.post("/predict", json=interactive(click(25, 15)))
    cache = status(client)["cache"]
    assert 0 < cache["memory_bytes"] < cache["memory_limit"] == 512 * 2**20
    assert 0 < cache["disk_bytes"] < cache["disk_limit"] == 4096 * 2**20


def test_the_last_errors_name_their_tasks_the_newest_first(client):
    client.post("/predict", json=interactive(click(25, 15, "Dent"), number=7))
    client.post("/predict", json=interactive(click(125, 15), number=8))
    newest, before = status(client)["errors"]
    assert "task=8" in newest["text"]
    assert "inside the image" in newest["text"]
    assert "task=7" in before["text"]
    assert newest["time"].endswith("+00:00")


def test_a_warning_is_kept_as_one_line_without_secrets():
    kept = RecentWarnings()
    logger = logging.getLogger("warnings of a test")
    logger.addHandler(kept)
    try:
        raise ValueError("details")
    except ValueError:
        logger.exception("http://user:secret@host/a.png failed")
    logger.info("no warning")
    (warned,) = kept.newest()
    assert warned.text == "http://***@host/a.png failed"


def test_the_page_loads_itself_again_and_shows_what_clients_sent_as_text(client):
    client.post("/predict", json=interactive(click(25, 15, "<script>alert(1)</script>")))
    shown = page(client)
    assert '<meta http-equiv="refresh"' in shown
    assert "<script" not in shown
    assert "&lt;script&gt;" in shown


def test_the_model_and_its_device_are_told(client):
    told = status(client)
    assert told["model"].items() >= {"name": "threshold", "device": "cpu", "is_ready": True}.items()
    assert told["model"]["since"].startswith("20")
    assert told["model_version"].startswith("threshold-1")


@pytest.mark.parametrize("training", [None, {"steps": 0}, {"steps": 200}])
def test_a_training_is_shown_with_what_is_known_of_it(client, training):
    values = status(client)
    if training is not None:
        fields = {
            "model": "nano",
            "state": "running",
            "doing": "Learning",
            "step": 20,
            "seconds_left": None,
            "result": "",
        }
        values["training"] = fields | training
    shown = status_page(values)
    assert ("Learning" in shown) == (training is not None)
    assert ("20 of 200" in shown) == (training == {"steps": 200})
