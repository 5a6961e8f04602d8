"""Mistakes in the commands that train: one sentence before anything is read or computed."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from sam_backend.errors import SamInspectError
from sam_inspect import finetune, project_parts, train_proposer, tune_refiner
from sam_inspect.main import app


@pytest.fixture(autouse=True)
def packages(monkeypatch: pytest.MonkeyPatch) -> None:
    """No package is asked for, and no run is opened."""
    for module in (finetune, train_proposer, tune_refiner):
        monkeypatch.setattr(module, "require_training", lambda user: None)
    monkeypatch.setattr(project_parts, "open_part_run", None)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("train-proposer", "Name what to learn from: either --project or --data."),
        ("train-proposer --data masks:. --model grabcut", "No proposer is trained beside grabcut"),
        ("train-proposer --data masks:. --model nnao", "There is no model 'nnao'"),
        ("tune-refiner --data masks:. --model grabcut", "grabcut corrects its own answers"),
        ("tune-refiner --data masks:. --model nnao", "There is no model 'nnao'"),
        ("finetune --data masks:. --refiner", "--proposer and --refiner go with --project"),
    ],
)
def test_a_mistake_is_one_sentence(words: str, sentence: str) -> None:
    pytest.importorskip("torch", reason="the torch extra is not installed")
    result = CliRunner().invoke(app, words.split())
    assert isinstance(result.exception, SamInspectError)
    assert str(result.exception).startswith(sentence)


@pytest.mark.parametrize(
    "words",
    [
        "train-proposer --data masks:. --minutes inf",
        "tune-refiner --data masks:. --seconds inf",
        "tune-refiner --data masks:. --seed -1",
        "finetune --data masks:. --seed -1",
        "evaluate --out no --data masks:. --seed -1",
        "compare a b --seed -1",
        "rank --project 3 --seed -1",
    ],
)
def test_a_number_out_of_range_is_refused(words: str) -> None:
    result = CliRunner().invoke(app, words.split())
    assert result.exit_code == 2
    assert "Invalid value for" in result.output
