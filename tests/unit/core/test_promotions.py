"""Promoted weights are used from the start of a service, or from their promotion."""

import threading

import pytest

from sam_backend.core import backend as backend_module
from sam_backend.core.promotions import Promotions
from sam_backend.errors import WeightsError
from sam_backend.finetune.versions import Version, Versions
from threshold_segmenter import ThresholdSegmenter


@pytest.fixture
def versions(tmp_path):
    versions = Versions(tmp_path / "home" / "models")
    for _ in range(2):
        with versions.staging("nano") as folder:
            versions.add(Version("", "nano"), folder)
    return versions


def load(folder):
    return ThresholdSegmenter(f"threshold-{folder.name if folder else 'shipped'}")


def refuse(folder):
    if folder:
        raise WeightsError("broken")
    return load(folder)


def test_the_promoted_version_serves_at_the_start(versions):
    assert Promotions(versions, "nano", load).first().version == "threshold-shipped"
    versions.promote("nano-0001")
    assert Promotions(versions, "nano", load).first().version == "threshold-nano-0001"


def test_promotions_and_rollbacks_are_applied_once(versions):
    promotions = Promotions(versions, "nano", load)
    promotions.first()
    assert promotions.next() is None
    versions.promote("nano-0002")
    assert promotions.next().version == "threshold-nano-0002"
    assert promotions.next() is None
    versions.roll_back("nano")
    assert promotions.next().version == "threshold-shipped"


def test_the_service_keeps_its_weights_if_the_promoted_ones_cannot_be_loaded(versions):
    promotions = Promotions(versions, "nano", refuse)
    promotions.first()
    versions.promote("nano-0001")
    assert promotions.next() is None
    assert Promotions(versions, "nano", refuse).first().version == "threshold-shipped"


def test_a_running_service_answers_with_what_was_promoted(versions, make_client, monkeypatch):
    taken = threading.Event()
    monkeypatch.setattr(backend_module, "load_segmenter", lambda name, folder, **_: load(folder))
    follow = Promotions.follow

    def quickly(self, take):
        follow(self, lambda segmenter: (take(segmenter), taken.set()), every=0.01)

    monkeypatch.setattr(Promotions, "follow", quickly)
    client = make_client("nano")
    client.app.state.backend.model.get(60)
    assert client.get("/health").json()["model_version"] == "threshold-shipped"
    versions.promote("nano-0001")
    assert taken.wait(10)
    assert client.get("/health").json()["model_version"] == "threshold-nano-0001"
    assert client.get("/versions").json() == {"versions": ["threshold-nano-0001"]}
    assert client.post("/setup", json={}).json() == {"model_version": "threshold-nano-0001"}
