"""`sam-inspect export-model` writes what `--model onnx:<folder>` serves, and says how it agrees with its source."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from marks import needs_torch
from sam_backend.errors import SamInspectError
from sam_inspect.main import app


def typed(folder: Path, *words: str) -> str:
    """Return what was printed; a user's mistake is raised as `main` gets it."""
    environment = {"SAM_INSPECT_HOME": str(folder / "home"), "SAM_INSPECT_CACHE": str(folder / "cache")}
    result = CliRunner().invoke(app, words, env=environment | {"COLUMNS": "200"})
    if isinstance(result.exception, SamInspectError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.slow
@needs_torch
def test_an_export_is_written_and_named_with_its_agreement(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnx", reason="the torch extra is not installed")
    from sam_backend.segmenters import entries
    from sam_backend.segmenters.sam import SamSegmenter
    from small_sam import small_sam

    def small(info, checkpoint, folders, device):
        return SamSegmenter(small_sam(side=64), info, version="sam:vit_b-0", device=device)

    monkeypatch.setattr(entries, "load_official", small)
    out = tmp_path / "vit_b"
    printed = typed(tmp_path, "export-model", "--model", "sam:vit_b", "--out", str(out))
    assert f"{out} holds sam:vit_b-0 as fp32; serve it with --model onnx:{out}." in printed
    assert "on 24 prompts: mean IoU of the masks 1.0000" in printed
    with pytest.raises(SamInspectError, match="exists and is not an empty folder"):
        typed(tmp_path, "export-model", "--model", "sam:vit_b", "--out", str(out))


@needs_torch
def test_a_folder_that_is_not_empty_is_refused_before_weights_are_fetched(tmp_path: Path) -> None:
    pytest.importorskip("onnx", reason="the torch extra is not installed")
    with pytest.raises(SamInspectError, match="exists and is not an empty folder"):
        typed(
            tmp_path, "export-model", "--model", "sam:vit_b", "--checkpoint", "nowhere", "--out", str(tmp_path.parent)
        )


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--model", "nano"], "nano runs on onnxruntime already; choose one of sam:vit_b, sam:vit_l, sam:vit_h."),
        (["--model", "grabcut"], "grabcut cannot be exported; choose one of sam:vit_b, sam:vit_l, sam:vit_h."),
        (["--model", "sam:vit_b", "--int8", "--fp16"], "Give either --int8 or --fp16."),
    ],
)
def test_a_mistake_is_one_sentence(tmp_path: Path, words: list[str], sentence: str) -> None:
    with pytest.raises(SamInspectError) as error:
        typed(tmp_path, "export-model", "--out", str(tmp_path / "out"), *words)
    assert str(error.value) == sentence
    assert not (tmp_path / "out").exists()
