"""Images that other processes encode or propose on give what this process gives."""

import json

import numpy as np
import pytest

from label_studio_requests import CONFIG, data_url, defect_image, png, task
from loopback import serving
from posted_work import PostedWork
from sam_backend.core.image_work import EncodeFile, ImageFile, ProposeOnImage
from sam_backend.core.model_loading import WorkerModel, load_model
from sam_backend.core.project_work import open_registered
from sam_backend.core.warm_counts import WarmCounts
from sam_backend.core.warming import Warming
from sam_backend.errors import WeightsError
from sam_backend.progress import no_progress
from sam_backend.settings import Settings
from squares_project import taught_project
from tokens import LEGACY

IMAGES = 6


@pytest.fixture
def label_studio():
    """A Label Studio whose third image is broken and whose last one is large."""
    with serving() as server:
        project = {"id": 1, "created_at": "2026-11-23T05:20:01.714782Z", "label_config": CONFIG}
        server.routes["/api/projects/1/"] = json.dumps(project).encode()
        tasks = [task(f"/data/upload/1/{number}.png", number) for number in range(IMAGES)]
        server.routes["/api/tasks/"] = json.dumps({"tasks": tasks, "total": IMAGES}).encode()
        files = [png(defect_image() + number) for number in range(IMAGES)]
        files[2], files[5] = b"no image", png(np.zeros((300, 300, 3), np.uint8))
        server.routes |= {f"/data/upload/1/{number}.png": file for number, file in enumerate(files)}
        yield server


def warm(label_studio, cache, **options):
    """Warm a cache; return the counts, and the embedding of each image, which are all in the cache by then."""
    settings = Settings(
        cache=cache,
        label_studio_url=label_studio.url,
        label_studio_api_key=LEGACY,
        large_image_pixels=50_000,
    )
    counts = WarmCounts()
    with Warming.open(settings, "nano", None) as warming:
        warming.warm_project("1", counts, no_progress, no_progress, **options)
    with Warming.open(settings, "nano", None) as warming:
        uid, asked = open_registered(warming.servers, "1").uid, len(label_studio.paths())
        urls = [f"/data/upload/1/{number}.png" for number in range(IMAGES) if number != 2]
        found = [warming.embeddings.fetch(warming.segmenter, url, uid, None) for url in urls]
    assert len(label_studio.paths()) == asked
    return counts, found


def test_what_is_encoded_elsewhere_is_kept_as_if_it_were_encoded_here(label_studio, tmp_path, caplog):
    counts, here = warm(label_studio, tmp_path / "here")
    assert (counts.encoded, counts.failed) == (IMAGES - 1, 1)
    counts, elsewhere = warm(label_studio, tmp_path / "elsewhere", workers=PostedWork())
    assert (counts.encoded, counts.known, counts.failed) == (IMAGES - 1, 0, 1)
    assert [one.large is not None for one in elsewhere] == [False] * 4 + [True]
    for one, other in zip(here, elsewhere, strict=True):
        assert one.embedding.arrays.keys() == other.embedding.arrays.keys()
        for name, array in one.embedding.arrays.items():
            np.testing.assert_array_equal(array, other.embedding.arrays[name])
    counts, _ = warm(label_studio, tmp_path / "elsewhere", workers=PostedWork())
    assert (counts.encoded, counts.known, counts.failed) == (0, IMAGES - 1, 1)
    assert caplog.text.count("Task 2 cannot be encoded: ") == 3


def test_what_is_proposed_elsewhere_is_what_is_proposed_here(tmp_path, caplog):
    work = taught_project(Settings(), tmp_path)
    here = work.pre_annotate(no_progress)
    expected, work.project.predictions = work.project.predictions, []
    assert [number for number, _ in expected] == [2, 3, 4, *range(6, 13)]
    assert here.regions > 6
    elsewhere = work.pre_annotate(no_progress, PostedWork())
    assert work.project.predictions == expected
    assert elsewhere == here
    assert caplog.text.count("Task 5 gets no prediction: The image http://127.0.0.1:1/5.png ") == 2


def test_a_deadly_image_is_named_without_the_secrets_of_its_address():
    signed = ImageFile(b"", "https://bucket.example.com/a.png?X-Amz-Signature=0123456789abcdef")
    inside = ImageFile(b"", data_url(b"image" * 1000))
    for work in (EncodeFile(None, None, None), ProposeOnImage(None, None, None, None, None)):
        assert work.name_of(signed) == "https://bucket.example.com/a.png"
        assert len(work.name_of(inside)) < 100


def test_a_worker_with_other_weights_says_where_to_put_them():
    settings = Settings()
    model = WorkerModel.of(settings, "nano", None, load_model(settings, "nano", None))
    other = WorkerModel(model.name, None, "nano-other", model.shared)
    with pytest.raises(WeightsError, match=r"its model is nano-\S+, and nano-other is asked for. Put the same"):
        other.load(1)
