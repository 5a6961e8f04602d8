"""`sam-inspect export` writes data sets, and says a user's mistake in one sentence before any work."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from sam_backend.errors import SamInspectError
from sam_inspect.main import app


def typed(*words: str) -> str:
    """Return what was printed; a user's mistake is raised as `main` gets it."""
    result = CliRunner().invoke(app, ["export", *words], env={"COLUMNS": "200"})
    if isinstance(result.exception, SamInspectError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def test_a_data_set_is_converted(surfaces: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    printed = typed("--data", f"masks:{surfaces}", "--to", "yolo-seg", "--split", "0.5", "--out", str(out))
    assert f"{out} holds" in printed
    assert " for train" in printed
    assert (out / "data.yaml").is_file()
    again = typed("--data", f"yolo:{out}@train", "--to", "coco", "--out", str(tmp_path / "coco"))
    assert "masks of 2 classes on" in again


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--to", "coco"), "either a --project, or a data set with --data"),
        (("--to", "coco", "--project", "3", "--data", "masks:."), "either a --project, or a data set with --data"),
        (("--to", "coco", "--data", "masks:.", "--split", "80"), "above 0 and at most 1; got 80"),
        (("--to", "cocoo", "--data", "masks:."), "There is no export to 'cocoo'; the formats are coco, "),
        (("--to", "coco", "--data", "masks:nowhere"), "The data set's folder nowhere does not exist"),
        (("--to", "coco", "--project", "3"), "No Label Studio with a project 3 is known here"),
    ],
)
def test_a_mistake_is_one_sentence(tmp_path: Path, words: tuple[str, ...], said: str) -> None:
    with pytest.raises(SamInspectError, match=said):
        typed(*words, "--out", str(tmp_path / "out"))
    assert list(tmp_path.iterdir()) == []
