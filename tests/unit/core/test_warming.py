"""A warm-up encodes everything, goes on after an interruption, and waits for a Label Studio that went away."""

import errno
import json
import sqlite3
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from diskcache import Cache, Timeout
from PIL import Image

from label_studio_requests import CONFIG, click, defect_image, interactive, png, task
from loopback import serving
from sam_backend.core import warming as module
from sam_backend.core.observer import Observer
from sam_backend.core.task_embeddings import TaskEmbeddings
from sam_backend.core.warm_counts import WarmCounts
from sam_backend.core.warming import Warming
from sam_backend.errors import ImageServerError, SamInspectError
from sam_backend.labelstudio.servers import ServerRegistry
from sam_backend.progress import no_progress
from sam_backend.segmenters.cache import EmbeddingCache
from sam_backend.segmenters.correcting import Correcting
from threshold_segmenter import ThresholdSegmenter
from tokens import LEGACY

IMAGES = 8
API = {"/api/projects/1/", "/api/tasks/"}


def path(number):
    return f"/data/upload/1/{number}.png"


@pytest.fixture
def label_studio():
    """A Label Studio with eight tasks, each with an image of its own; the first one is annotated."""
    with serving() as server:
        project = {"id": 1, "created_at": "2026-11-23T05:20:01.714782Z", "label_config": CONFIG}
        server.routes["/api/projects/1/"] = json.dumps(project).encode()
        tasks = [task(path(number), number, is_labeled=number == 0) for number in range(IMAGES)]
        server.routes["/api/tasks/"] = json.dumps({"tasks": tasks, "total": IMAGES}).encode()
        server.routes |= {path(number): png(defect_image() + number) for number in range(IMAGES)}
        yield server


@pytest.fixture
def connected(label_studio):
    return {"label_studio_url": label_studio.url, "label_studio_api_key": LEGACY}


@pytest.fixture
def make(make_settings, connected):
    """A function that makes a warm-up as a new process does, with a model that counts what it encodes."""
    caches = []

    def warming(pause=None, **fields):
        settings = make_settings(**connected | fields)
        servers, cache = ServerRegistry.of_settings(settings), EmbeddingCache.of_settings(settings)
        caches.append(cache)
        embeddings = TaskEmbeddings.of_settings(settings, servers, cache, Observer())
        segmenter = Correcting(ThresholdSegmenter())
        return Warming(servers, segmenter, embeddings, cache, pause or pytest.fail)

    yield warming
    for cache in caches:
        cache.close()


def warm(warming, encoding=no_progress):
    counts = WarmCounts()
    try:
        warming.warm_project("1", counts, no_progress, encoding)
    except (KeyboardInterrupt, SamInspectError) as error:
        return counts, error
    finally:
        # As at the end of the process: what waits is written.
        warming.cache.close()
    return counts, None


def fetched(label_studio):
    return [address for address in label_studio.paths() if address.startswith("/data/")]


def test_all_images_are_encoded_those_first_that_nobody_has_touched(make, label_studio):
    counts, _ = warm(make())
    assert (counts.encoded, counts.known, counts.images) == (IMAGES, 0, IMAGES)
    assert fetched(label_studio) == [*map(path, range(1, IMAGES)), path(0)]


def test_the_first_click_of_a_server_that_starts_later_finds_its_image(make, make_client, connected):
    warm(make())
    segmenter = ThresholdSegmenter()
    for client in (make_client(segmenter, **connected), make_client(segmenter, **connected)):
        answer = client.post("/predict", json=interactive(click(25, 15), image=path(3), number=3))
        assert answer.json()["results"][0]["result"]
        assert client.get("/status").json()["clicks"]["images"] == {"disk": 1}
    assert segmenter.encoded == 0


def test_it_goes_on_after_an_interruption(make, label_studio):
    def interrupt(done, total, doing=""):
        if done == 3:
            raise KeyboardInterrupt

    counts, error = warm(make(), interrupt)
    assert isinstance(error, KeyboardInterrupt)
    assert (counts.ready, counts.images) == (3, IMAGES)
    counts, _ = warm(make())
    assert (counts.known, counts.encoded) == (3, IMAGES - 3)
    assert sorted(fetched(label_studio)) == [path(number) for number in range(IMAGES)]


FULL = OSError(errno.ENOSPC, "No space left on device")
NO_SPACE = "embeddings: No space left on device; make room there"


@pytest.mark.parametrize(
    ("failures", "problem", "sentence"),
    [
        (1, Timeout(), None),
        (6, Timeout(), "Another process has locked the cache"),
        (1, FULL, NO_SPACE),
        (IMAGES, FULL, NO_SPACE),
        (
            1,
            sqlite3.OperationalError("database or disk is full"),
            "embeddings: database or disk is full; make room there",
        ),
    ],
    ids=["a lock", "a lock that stays", "a disk that is full for a while", "a full disk", "no room for the index"],
)
def test_what_was_not_written_is_not_ready_and_a_full_disk_ends_it(make, monkeypatch, failures, problem, sentence):
    failed, keep = [], Cache.set

    def fail_first(cache, key, embedding):
        if len(failed) < failures:
            failed.append(key)
            raise problem
        return keep(cache, key, embedding)

    monkeypatch.setattr(Cache, "set", fail_first)
    counts, error = warm(make())
    assert counts.ready <= IMAGES - len(failed)
    if sentence:
        assert sentence in str(error)
    else:
        assert (error, counts.ready) == (None, IMAGES - 1)


def test_a_full_disk_ends_the_warm_up_of_a_few_files(make, tmp_path, monkeypatch):
    monkeypatch.setattr(Cache, "set", Mock(side_effect=FULL))
    Image.fromarray(defect_image()).save(tmp_path / "0.png")
    counts = WarmCounts()
    with pytest.raises(SamInspectError, match=NO_SPACE):
        make().warm_files([tmp_path / "0.png"], counts, no_progress)
    assert counts.ready == 0


def test_it_waits_for_a_label_studio_that_went_away_half_way(make, label_studio):
    whole, pauses = dict(label_studio.routes), []

    def go_away(done, total, doing=""):
        if done == 3:
            label_studio.routes.update(dict.fromkeys(whole, 403))

    def come_back(seconds):
        pauses.append(seconds)
        if len(pauses) == 2:
            label_studio.routes.update(whole)

    counts, _ = warm(make(come_back), go_away)
    assert (counts.encoded, counts.failed) == (IMAGES, 0)
    assert pauses == [module._PAUSE] * 2


def test_a_label_studio_that_stays_away_ends_it_and_the_next_run_goes_on(make, label_studio):
    whole, pauses = dict(label_studio.routes), []

    def go_away(done, total, doing=""):
        if done == 3:
            label_studio.routes.update(dict.fromkeys(whole, 403))

    counts, error = warm(make(pauses.append), go_away)
    assert isinstance(error, ImageServerError)
    assert "answered 403 about project 1" in str(error)
    assert sum(pauses) == 600
    assert (counts.encoded, counts.failed) == (3, 0)
    label_studio.routes.update(whole)
    counts, _ = warm(make())
    assert (counts.known, counts.encoded) == (3, IMAGES - 3)


def test_an_image_that_cannot_be_used_costs_itself_and_is_named(make, label_studio, caplog):
    label_studio.routes |= {path(2): 404, path(4): b"no image"}
    counts, _ = warm(make())
    assert (counts.encoded, counts.failed) == (IMAGES - 2, 2)
    assert "Task 2 cannot be encoded" in caplog.text
    assert "Task 4 cannot be encoded" in caplog.text


def test_what_does_not_fit_does_not_push_out_what_is_ready(make, label_studio):
    random = np.random.default_rng(0)
    large = {path(number): png(random.integers(0, 255, (300, 400, 3), np.uint8)) for number in range(IMAGES)}
    label_studio.routes |= large
    # Each embedding takes 0.84 MB.
    counts, error = warm(make(embedding_disk_mb=6))
    assert error is None
    assert (counts.encoded, counts.images) == (7, IMAGES)
    counts, _ = warm(make(embedding_disk_mb=6))
    assert (counts.known, counts.encoded) == (7, 0)


def test_the_files_of_a_folder_are_found_when_a_project_has_the_same_files(
    make, make_client, connected, tmp_path, monkeypatch
):
    Image.fromarray(defect_image() + 3).save(tmp_path / "3.png")
    (tmp_path / "4.png").write_bytes(b"no image")
    counts = WarmCounts()
    reads, read = [], Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda file: reads.append(file.name) or read(file))
    make().warm_files([tmp_path / "3.png", tmp_path / "4.png"], counts, no_progress)
    assert (counts.encoded, counts.failed) == (1, 1)
    assert [name for name in reads if name.endswith(".png")] == ["3.png", "4.png"]
    segmenter = ThresholdSegmenter()
    client = make_client(segmenter, **connected)
    client.post("/predict", json=interactive(click(25, 15), image=path(3), number=3))
    assert segmenter.encoded == 0
    assert client.get("/status").json()["clicks"]["hit_rate"] == 1.0
