"""Promoted weights are used from the start of a service, or from their promotion."""

import json
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
            (folder / "encoder.onnx").write_bytes(b"weights")
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


def test_a_promoted_version_that_changed_on_disk_does_not_serve_and_is_named(versions, tmp_path):
    versions.promote("nano-0001")
    (tmp_path / "home" / "models" / "nano" / "nano-0001" / "encoder.onnx").write_bytes(b"weighty")
    promotions = Promotions(versions, "nano", load)
    assert promotions.first().version == "threshold-shipped"
    assert promotions.next() is None
    (problem,) = promotions.problems()
    assert "The shipped nano serves" in problem
    assert "encoder.onnx" in problem


@pytest.mark.parametrize("content", ['{"history": null}', "{", "[]", '{"history": [1]}', '{"history": {}}', "\x00", ""])
def test_a_damaged_file_of_promotions_lets_what_ships_serve_at_the_start(versions, tmp_path, content):
    versions.promote("nano-0001")
    (tmp_path / "home" / "models" / "nano" / "current.json").write_text(content)
    promotions = Promotions(versions, "nano", load)
    assert promotions.first().version == "threshold-shipped"
    assert promotions.next() is None
    assert "current.json" in " ".join(promotions.problems())
    versions.promote("nano-0001")
    assert promotions.next().version == "threshold-nano-0001"
    assert promotions.problems() == []


def test_a_running_service_keeps_its_weights_while_the_file_of_promotions_is_damaged(versions, tmp_path):
    versions.promote("nano-0001")
    promotions = Promotions(versions, "nano", load)
    promotions.first()
    current = tmp_path / "home" / "models" / "nano" / "current.json"
    sound = current.read_bytes()
    current.write_text("{")
    assert promotions.next() is None
    assert len(promotions.problems()) == 1
    current.write_bytes(sound)
    assert promotions.next() is None
    assert promotions.problems() == []


def test_a_damaged_record_of_another_version_does_not_stop_the_promoted_one(versions, tmp_path):
    versions.promote("nano-0001")
    (tmp_path / "home" / "models" / "nano" / "nano-0002" / "version.json").write_text("{")
    (tmp_path / "home" / "models" / "sam_vit_b" / "sam_vit_b-0001").mkdir(parents=True)
    promotions = Promotions(versions, "nano", load)
    assert promotions.first().version == "threshold-nano-0001"
    assert ["nano-0002" in problem for problem in promotions.problems()] == [True, False]


def test_a_version_that_cannot_answer_a_click_does_not_serve(versions):
    class Mute(ThresholdSegmenter):
        def decode(self, embedding, prompts, *, multimask=None):
            raise RuntimeError("Invalid Feed Input Name: coords")

    versions.promote("nano-0001")
    promotions = Promotions(versions, "nano", lambda folder: Mute() if folder else load(None))
    assert promotions.first().version == "threshold-shipped"
    assert "test click (Invalid Feed" in promotions.problems()[0]


def test_a_version_whose_files_have_no_hashes_serves_after_a_click_and_this_is_said(versions, tmp_path):
    path = tmp_path / "home" / "models" / "nano" / "nano-0001" / "version.json"
    record = json.loads(path.read_text())
    del record["files"]
    path.write_text(json.dumps(record))
    versions.promote("nano-0001")
    promotions = Promotions(versions, "nano", load)
    assert promotions.first().version == "threshold-nano-0001"
    assert "cannot be checked" in promotions.problems()[0]


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
