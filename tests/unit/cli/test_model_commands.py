"""The commands below `models`, for models and for what was trained for a project."""

from __future__ import annotations

from pathlib import Path

import onnxruntime
import pytest
from typer.testing import CliRunner

from sam_backend.errors import SamInspectError
from sam_backend.finetune.versions import VERSIONS, Version, Versions
from sam_backend.segmenters.refiner import refiner
from sam_inspect.main import app

MODEL, FIRST = "refiner:3.1", "refiner_3.1-0001"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home folder with one version of a project's refiner."""
    versions, shipped = Versions(tmp_path / VERSIONS), Path(refiner.__file__).parent
    with versions.staging(MODEL) as folder:
        for name in (refiner.BACKBONE, refiner.HEAD):
            (folder / name).write_bytes((shipped / name).read_bytes())
        versions.add(Version("", MODEL), folder)
    return tmp_path


def typed(home: Path, words: str) -> str:
    """Return what was printed; a user's mistake is raised as `main` gets it."""
    result = CliRunner().invoke(app, words.split(), env={"SAM_INSPECT_HOME": str(home), "COLUMNS": "200"})
    if isinstance(result.exception, SamInspectError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def test_a_projects_refiner_is_listed_promoted_and_rolled_back(home: Path) -> None:
    assert FIRST in typed(home, "models")
    assert typed(home, f"models promote {FIRST}") == f"{FIRST} serves now, instead of shipped.\n"
    printed = typed(home, f"models rollback --model {MODEL}")
    assert printed == f"shipped serves {MODEL} again, instead of {FIRST}.\n"


def test_where_onnxruntime_computes_is_shown(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    offered = ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: offered)
    assert "onnxruntime offers CUDA, Tensorrt, CPU; it computes on the first that works." in typed(home, "models")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("promote shipped", "What ships has no version; go back to it with sam-inspect models rollback."),
        ("promote nosuch", f"There is no version 'nosuch'; there are {FIRST}, shipped."),
        ("rollback --model refiner:3.2", "There is no model 'refiner:3.2'; the known ones are nano, "),
        ("rollback --model grabcut", "grabcut serves as it is shipped"),
    ],
)
def test_a_mistake_is_one_sentence(home: Path, words: str, sentence: str) -> None:
    with pytest.raises(SamInspectError) as error:
        typed(home, f"models {words}")
    assert str(error.value).startswith(sentence)
    assert not (home / VERSIONS / "refiner_3.2").exists()
