"""Versions on disk: which one serves, and the way back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sam_backend.finetune import versions as module
from sam_backend.finetune.versions import SHIPPED, Version, VersionError, Versions


def add(versions: Versions, model: str = "nano", **fields: object) -> Version:
    with versions.staging(model) as folder:
        (folder / "encoder.onnx").write_bytes(b"weights")
        return versions.add(Version("", model, **fields), folder)  # type: ignore[arg-type]


@pytest.fixture
def versions(tmp_path: Path) -> Versions:
    return Versions(tmp_path)


def test_what_ships_serves_until_something_is_promoted(versions: Versions) -> None:
    made = add(versions)
    assert (made.name, versions.current("nano"), versions.checkpoint("nano")) == ("nano-0001", SHIPPED, None)
    assert versions.promote("nano-0001") == SHIPPED
    checkpoint = versions.checkpoint("nano")
    assert checkpoint is not None
    assert (checkpoint / "encoder.onnx").read_bytes() == b"weights"


def test_a_promotion_survives_a_restart(versions: Versions, tmp_path: Path) -> None:
    add(versions)
    versions.promote("nano-0001")
    assert Versions(tmp_path).current("nano") == "nano-0001"


def test_versions_are_counted_for_each_model_and_keep_what_was_said_of_them(versions: Versions) -> None:
    for model in ("nano", "sam:vit_b", "nano"):
        add(versions, model, reason="better", passed=True, metrics={"box.iou": [0.7, 0.8]})
    assert [each.name for each in versions.all()] == ["nano-0001", "nano-0002", "sam_vit_b-0001"]
    assert versions.all()[2].model == "sam:vit_b"
    assert (versions.all()[0].reason, versions.all()[0].metrics) == ("better", {"box.iou": [0.7, 0.8]})


def test_rolling_back_goes_the_way_that_promotions_came(versions: Versions) -> None:
    add(versions), add(versions)
    versions.promote("nano-0002")
    versions.promote("nano-0001")
    assert versions.roll_back("nano") == ("nano-0001", "nano-0002")
    assert versions.roll_back("nano") == ("nano-0002", SHIPPED)
    with pytest.raises(VersionError, match="no version before"):
        versions.roll_back("nano")


def test_promoting_what_serves_already_changes_nothing(versions: Versions) -> None:
    add(versions)
    versions.promote("nano-0001")
    versions.promote("nano-0001")
    assert versions.roll_back("nano") == ("nano-0001", SHIPPED)


def test_an_unknown_version_is_refused_with_those_there_are(versions: Versions) -> None:
    add(versions)
    with pytest.raises(VersionError, match=r"no version 'nano-7'; there are nano-0001, shipped"):
        versions.promote("nano-7")


def test_a_promotion_that_cannot_be_written_leaves_what_serves(
    versions: Versions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(versions), add(versions)
    versions.promote("nano-0001")

    def full(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="No space"):
        versions.promote("nano-0002")
    monkeypatch.undo()
    assert versions.current("nano") == "nano-0001"
    assert not list(tmp_path.rglob("*.part"))


def test_weights_that_were_not_finished_are_no_version_and_are_cleared_away(versions: Versions, tmp_path: Path) -> None:
    def killed() -> None:
        with versions.staging("nano") as folder:
            (folder / "encoder.onnx").write_bytes(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        killed()
    assert versions.all() == []
    assert not list(tmp_path.rglob("encoder.onnx"))


def test_a_pointer_that_cannot_be_read_says_what_to_do(versions: Versions, tmp_path: Path) -> None:
    (tmp_path / "nano").mkdir()
    (tmp_path / "nano" / "current.json").write_text("{")
    with pytest.raises(VersionError, match="delete it, and promote the version again"):
        versions.current("nano")


def test_a_record_is_json_that_people_can_read(versions: Versions, tmp_path: Path) -> None:
    made = add(versions, reason="better")
    record = json.loads((tmp_path / "nano" / made.name / module._RECORD).read_text())
    assert (record["reason"], record["created"][:2]) == ("better", "20")
