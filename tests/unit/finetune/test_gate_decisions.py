"""Every decision of a gate is kept, whether its training left a version or not."""

from sam_backend.finetune.gate_decisions import decisions_problem, gate_decisions, keep_decision
from sam_backend.finetune.verdict import Verdict
from sam_backend.finetune.versions import Version, Versions


def verdict(passed, before=0.5, after=0.6):
    return Verdict(passed, "Because.", {"box.iou": [before, after]})


def made(versions, model="nano"):
    with versions.staging(model) as folder:
        (folder / "weights.safetensors").write_bytes(b"x")
        return versions.add(Version("", model, data="old", reason="Old.", passed=True), folder)


def test_decisions_are_told_the_latest_first_with_those_of_earlier_versions(tmp_path):
    versions = Versions(tmp_path)
    assert gate_decisions(versions) == []
    made(versions)
    new = made(versions)
    keep_decision(versions, "nano", "project 3", new, verdict(True))
    keep_decision(versions, "proposer:3.1", "project 3", None, verdict(False, 0.7, 0.6))
    decisions = {one.version: one for one in gate_decisions(versions)}
    assert set(decisions) == {"nano-0001", "nano-0002", ""}
    assert decisions["nano-0001"].reason == "Old."
    assert (decisions["nano-0002"].data, decisions["nano-0002"].metrics) == ("project 3", {"box.iou": [0.5, 0.6]})
    assert (decisions[""].model, decisions[""].passed) == ("proposer:3.1", False)
    times = [one.time for one in gate_decisions(versions)]
    assert times == sorted(times, reverse=True)


def test_a_file_that_cannot_be_written_ends_no_training(tmp_path, caplog):
    (tmp_path / "file").touch()
    keep_decision(Versions(tmp_path / "file"), "nano", "data", None, verdict(True))
    assert "The decision about nano is not kept" in caplog.text


def test_a_damaged_line_costs_itself(tmp_path, caplog):
    versions = Versions(tmp_path)
    (tmp_path / "gate-decisions.jsonl").write_text('{"time": 1}\nno json\n{"ti')
    keep_decision(versions, "nano", "data", None, verdict(True))
    assert [one.model for one in gate_decisions(versions)] == ["nano"]
    gate_decisions(versions)
    assert caplog.text.count("has 3 damaged lines") == 1
    assert "gate-decisions.jsonl has 3 damaged lines" in decisions_problem(versions)


def test_a_folder_in_place_of_the_file_is_told(tmp_path):
    (tmp_path / "gate-decisions.jsonl").mkdir()
    assert gate_decisions(Versions(tmp_path)) == []
    assert "gate-decisions.jsonl cannot be read: Is a directory." in decisions_problem(Versions(tmp_path))
