"""`--cluster` of the five commands that have it: without a cluster there, one sentence, and nothing is written."""

import numpy as np
import pytest
from typer.testing import CliRunner

from mask_files import save
from sam_backend.errors import SamInspectError
from sam_inspect.main import app


@pytest.fixture
def folder(tmp_path, monkeypatch):
    save(tmp_path / "data" / "images" / "0.png", np.zeros((8, 8), np.uint8))
    save(tmp_path / "data" / "masks" / "0.png", np.full((8, 8), 255, np.uint8))
    monkeypatch.chdir(tmp_path)
    # The priority of a process cannot be raised again.
    monkeypatch.setattr("os.nice", lambda _: None)
    return tmp_path


@pytest.mark.parametrize(
    "words",
    [
        "everything --images data/images --out out",
        "warm --images data/images",
        "warm --project 3",
        "preannotate --project 3",
        "evaluate --data masks:data --out out",
        "gap --models nano --data masks:data --out out",
    ],
)
def test_a_cluster_that_is_not_there_is_one_sentence_and_nothing_is_written(folder, words):
    before = sorted(folder.rglob("*"))
    result = CliRunner().invoke(app, [*words.split(), "--cluster", "ray://127.0.0.1:1"])
    assert isinstance(result.exception, SamInspectError)
    assert str(result.exception).startswith("No Ray cluster answers at ray://127.0.0.1:1 (Connection refused).")
    assert sorted(folder.rglob("*")) == before


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("evaluate --data masks:data --out out --jobs 2", "leave --jobs or --cluster out"),
        ("gap --models nano --data masks:data --out out --jobs 2", "leave --jobs or --cluster out"),
    ],
)
def test_options_of_this_machine_do_not_go_with_a_cluster(folder, words, sentence):
    result = CliRunner().invoke(app, [*words.split(), "--cluster", "auto"])
    assert sentence in str(result.exception)
