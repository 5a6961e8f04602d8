"""The command `gap` on baselines that need no model."""

import pytest
from typer.testing import CliRunner

from marks import needs_torch
from sam_backend.errors import SamInspectError
from sam_evaluation import runner
from sam_evaluation.run_files import load_run
from sam_inspect.main import app


def typed(*words):
    result = CliRunner().invoke(app, ["gap", *map(str, words)], env={"COLUMNS": "200", "SAM_INSPECT_CACHE": "none"})
    if isinstance(result.exception, SamInspectError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


@needs_torch
def test_models_are_compared_by_the_published_protocol_and_a_second_call_computes_nothing(
    surfaces, tmp_path, monkeypatch
):
    words = ("--models", "boxfill, felzenszwalb,sam:vit_b", "--data", f"masks:{surfaces}", "--limit", 2)
    words = (*words, "--jobs", 1, "--out", tmp_path / "gap", "--skip-missing")
    printed = typed(*words)

    assert "sam:vit_b cannot be measured: its weights (375 MB) are not here" in printed
    assert f"The page to publish is {tmp_path / 'gap/gap.html'}" in printed
    run = load_run(tmp_path / "gap")
    assert set(run.objects["protocol"]) == {"box", "click", "clicks:5", "spread-clicks:5"}
    assert run.about["settings"]["protocols"] == "box,click,clicks:5,spread-clicks:5,everything"
    for name in ("gap.html", "gap.md", "gap.csv", "costs.csv", "report.html", "figures/gap-models.png"):
        assert (tmp_path / "gap" / name).exists()
    page = (tmp_path / "gap/gap.md").read_text()
    assert "sam:vit_b was not measured" in page

    monkeypatch.setattr(runner, "_do", None)
    typed(*words)
    assert (tmp_path / "gap/gap.md").read_text() == page


def test_a_comparison_on_a_store_has_the_files_of_one_on_a_disk(surfaces, tmp_path, s3):
    words = ("--models", "boxfill,felzenszwalb", "--limit", 2, "--jobs", 1, "--protocol", "box,click")
    typed(*words, "--data", f"masks:{surfaces}", "--out", tmp_path / "gap")
    printed = typed(*words, "--data", f"masks:{s3.upload(surfaces, 'parts')}", "--out", f"{s3.address}/gap")
    assert f"The page to publish is {s3.address}/gap/gap.html" in printed
    written = s3.files("gap/")
    on_disk = {path.relative_to(tmp_path / "gap").as_posix(): path for path in (tmp_path / "gap").rglob("*.*")}
    assert {name for name in written if "parts/" not in name} == {name for name in on_disk if "parts/" not in name}
    assert written["gap.csv"] == on_disk["gap.csv"].read_bytes()
    again = CliRunner().invoke(app, ["report", f"{s3.address}/gap"])
    assert f"The report is {s3.address}/gap/report.html" in again.output
    gate = CliRunner().invoke(app, ["gate", f"{s3.address}/gap@boxfill", "--min", "iou.box>=0.9"])
    assert gate.exit_code == 0


def test_what_is_missing_is_told_before_anything_is_computed(surfaces, tmp_path):
    words = ("--data", f"masks:{surfaces}", "--out", tmp_path / "gap")
    with pytest.raises(SamInspectError) as error:
        typed("--models", "boxfill,sam:vit_b,sam:vit_l", *words)
    lines = str(error.value).splitlines()
    assert [line.partition(" cannot")[0] for line in lines[:2]] == ["sam:vit_b", "sam:vit_l"]
    assert lines[2] == "Add --skip-missing to measure only the others."
    with pytest.raises(SamInspectError, match="sam:vit_b cannot be measured"):
        typed("--models", "sam:vit_b", "--skip-missing", *words)
    assert not (tmp_path / "gap").exists()
