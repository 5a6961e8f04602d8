"""The command `simulate` as a user types it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from colour_segmenter import ColourSegmenter
from sam_backend.errors import SamInspectError
from sam_backend.segmenters import model_registry
from sam_evaluation.simulation import all_runs
from sam_inspect.main import app

pytestmark = pytest.mark.slow


def typed(*words: object) -> str:
    """Return what was printed; a user's mistake is raised as `main` gets it."""
    result = CliRunner().invoke(app, [str(word) for word in words], env={"COLUMNS": "200"})
    if isinstance(result.exception, SamInspectError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture
def colours(monkeypatch: pytest.MonkeyPatch) -> ColourSegmenter:
    segmenter = ColourSegmenter()
    for module in (model_registry, all_runs):
        monkeypatch.setattr(module, "load_segmenter", lambda *_, **__: segmenter)
    return segmenter


def test_a_finished_simulation_is_only_reported_again(
    surfaces: Path, tmp_path: Path, colours: ColourSegmenter, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("simulate", "--data", f"masks:{surfaces}", "--budget", 5, "--seeds", 2, "--accept", 0.8, "--measured", 2)
    words = (*words, "--arms", "plain,memory", "--strategies", "gain", "--jobs", 1, "--out", tmp_path)
    printed = typed(*words)
    assert "+memory" in printed
    assert f"The report is {tmp_path / 'report.html'}" in printed
    assert len(list((tmp_path / "runs").glob("*/*/journal.jsonl"))) == 6
    monkeypatch.setattr(all_runs, "Loop", None)
    summary = json.loads(typed(*words, "--json"))
    assert [row["arm"] for row in summary["arms"]] == ["plain", "+memory"]
    assert [row["strategy"] for row in summary["strategies"]] == ["gain", "random"]


def test_other_conditions_are_another_simulation(surfaces: Path, tmp_path: Path, colours: ColourSegmenter) -> None:
    words = ("simulate", "--data", f"masks:{surfaces}", "--budget", 1, "--seeds", 1, "--arms", "plain")
    words = (*words, "--strategies", "", "--jobs", 1, "--json", "--out", tmp_path)
    for accept in (0.8, 0.9):
        summary = json.loads(typed(*words, "--accept", accept))
        assert summary["conditions"]["habits"]["accept"] == accept
    assert len(list((tmp_path / "runs").glob("*"))) == 2


def test_parallel_processes_give_the_same_results(surfaces: Path, tmp_path: Path) -> None:
    words = ("simulate", "--data", f"masks:{surfaces}", "--budget", 2, "--seeds", 2, "--arms", "plain", "--json")
    words = (*words, "--strategies", "", "--model", "grabcut")
    one, two = (json.loads(typed(*words, "--jobs", jobs, "--out", tmp_path / str(jobs))) for jobs in (1, 2))
    assert one == two


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--arms", "plain,memmory"), "There is no arm 'memmory'; known are plain"),
        (("--strategies", "best"), "There is no strategy 'best'"),
        (("--budget", 1000), "images to label, and --budget asks for 1,000; ask for"),
        (("--data", "masks:/nowhere"), "folder /nowhere does not exist"),
        (("--model", "nona"), "There is no model 'nona'"),
    ],
)
def test_a_mistake_is_one_sentence(surfaces: Path, words: tuple[object, ...], sentence: str) -> None:
    options = dict([("--data", f"masks:{surfaces}"), ("--budget", 2), ("--arms", "plain"), words])
    with pytest.raises(SamInspectError, match=sentence):
        typed("simulate", *(word for pair in options.items() for word in pair))


def test_the_help_shows_how_to_begin() -> None:
    printed = typed("simulate", "--help")
    assert "Example: sam-inspect simulate --data neu_seg:./neu_seg --budget 200" in printed
