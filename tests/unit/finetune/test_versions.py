"""Versions on disk: which one serves, and the way back."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from sam_backend.finetune.version_record import RECORD
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
    record = json.loads((tmp_path / "nano" / made.name / RECORD).read_text())
    assert (record["reason"], record["created"][:2]) == ("better", "20")


def test_two_trainings_of_a_model_have_folders_of_their_own(versions: Versions) -> None:
    with versions.staging("nano") as first:
        (first / "encoder.onnx").write_bytes(b"first")
        with versions.staging("nano") as second:
            (second / "encoder.onnx").write_bytes(b"second")
            assert (first / "encoder.onnx").read_bytes() == b"first"
            versions.add(Version("", "nano"), second)
        versions.add(Version("", "nano"), first)
    contents = [(versions.folder_of(version.name) / "encoder.onnx").read_bytes() for version in versions.all()]
    assert contents == [b"second", b"first"]


def test_what_a_killed_training_left_is_swept_and_what_a_living_one_needs_stays(
    versions: Versions, tmp_path: Path
) -> None:
    left = tmp_path / "nano" / ".staging" / "0123456789abcdef"
    left.mkdir(parents=True)
    (left / "encoder.onnx").write_bytes(b"half")
    (left.parent / "0123456789abcdef.lock").touch()
    # Earlier versions wrote into the folder itself.
    (left.parent / "decoder.onnx").write_bytes(b"half")
    with versions.staging("nano") as living:
        assert not left.exists()
        with versions.staging("nano"):
            assert living.is_dir()
    assert list((tmp_path / "nano" / ".staging").iterdir()) == []


def test_only_the_owner_enters_the_folders_of_versions(tmp_path: Path) -> None:
    versions = Versions(tmp_path / "home" / "models")
    folders = (folder := versions.folder_of(add(versions).name), folder.parent, tmp_path / "home" / "models")
    assert {path.stat().st_mode & 0o777 for path in folders} == {0o700}


def test_a_folder_without_weights_is_no_version(versions: Versions) -> None:
    with versions.staging("nano") as folder:
        (folder / "curves.png").touch()
        with pytest.raises(VersionError, match="no weights"):
            versions.add(Version("", "nano"), folder)
    assert versions.all() == []


def change(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1] + b"X")


def only_the_record(path: Path) -> None:
    path.unlink()
    record = json.loads((path.parent / RECORD).read_text())
    (path.parent / RECORD).write_text(json.dumps(record | {"files": {}}))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (change, "encoder.onnx in .* changed since the training"),
        (Path.unlink, "encoder.onnx is missing"),
        (only_the_record, "holds no weights"),
        (lambda path: (path.parent / "weights.pt").touch(), "weights.pt in .* does not belong to it"),
    ],
)
def test_a_version_with_missing_or_changed_files_is_never_promoted_or_served(
    versions: Versions, damage: Callable[[Path], None], message: str
) -> None:
    name = add(versions).name
    versions.promote(name)
    add(versions)
    versions.promote("nano-0002")
    damage(versions.folder_of(name) / "encoder.onnx")
    with pytest.raises(VersionError, match=message):
        versions.promote(name)
    assert versions.roll_back("nano") == ("nano-0002", SHIPPED)
    assert versions.checkpoint("nano") is None


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b"\xff\xfe{}",
        b'{"name": "nano-0001"}',
        b'{"name": 1, "model": "nano"}',
        b'{"name": "nano-0001", "model": "nano", "metrics": [1]}',
        b'{"name": "nano-0002", "model": "nano"}',
        b'{"name": "nano-0001", "model": "sam:vit_b"}',
        b'{"name": "nano-0001", "model": "nano", "files": {"../../a.onnx": "0"}}',
        b"[" * 100_000,
        None,
    ],
)
def test_a_damaged_record_costs_that_record(versions: Versions, content: bytes | None) -> None:
    path = versions.folder_of(add(versions).name) / RECORD
    versions.promote(add(versions).name)
    path.unlink() if content is None else path.write_bytes(content)
    assert [version.name for version in versions.all()] == ["nano-0002"]
    assert versions.current("nano") == "nano-0002"
    assert versions.checkpoint("nano") == path.parent.with_name("nano-0002")
    (problem,) = versions.problems()
    assert str(path) in problem
    with pytest.raises(VersionError, match="nano-0001"):
        versions.promote("nano-0001")
    assert add(versions).name == "nano-0003"


def test_a_record_of_a_later_version_of_the_package_is_read(versions: Versions) -> None:
    path = versions.folder_of(add(versions).name) / RECORD
    path.write_text(json.dumps(json.loads(path.read_text()) | {"licence": "MIT"}))
    assert versions.promote("nano-0001") == SHIPPED


def test_a_promotion_after_a_damaged_pointer_serves(versions: Versions, tmp_path: Path) -> None:
    add(versions)
    (tmp_path / "nano" / "current.json").write_text('{"history": null}')
    with pytest.raises(VersionError, match=r"current\.json"):
        versions.roll_back("nano")
    versions.promote("nano-0001")
    assert versions.current("nano") == "nano-0001"
    assert versions.problems() == []


@pytest.mark.parametrize("name", ["../nano-0001", "nano/nano-0001", "..", "/etc/nano-0001", "nano-0001/..", ""])
def test_a_name_never_leads_out_of_the_folder(versions: Versions, name: str) -> None:
    add(versions)
    with pytest.raises(VersionError, match="There is no version"):
        versions.promote(name)
