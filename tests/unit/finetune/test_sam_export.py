"""An exported SAM gives the masks of its source, and its folder is whole or absent."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the extra [torch] is not installed")
pytest.importorskip("segment_anything", reason="the extra [torch] is not installed")
pytest.importorskip("onnx", reason="the extra [torch] is not installed")

from sam_backend.errors import BadRequestError, WeightsError  # noqa: E402
from sam_backend.finetune import sam_export  # noqa: E402
from sam_backend.finetune.sam_export import export_sam  # noqa: E402
from sam_backend.segmenters import Prompt, WeightFolders  # noqa: E402
from sam_backend.segmenters.entries import OWN  # noqa: E402
from sam_backend.segmenters.exported import MANIFEST, Precision, read_manifest  # noqa: E402
from sam_backend.segmenters.model_registry import load_segmenter, model_info  # noqa: E402
from sam_backend.segmenters.sam import SamSegmenter  # noqa: E402
from small_sam import small_sam  # noqa: E402

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def source() -> SamSegmenter:
    return SamSegmenter(small_sam(side=128), OWN["sam:vit_b"], version="sam:vit_b-0", device="cpu")


@pytest.fixture(scope="module")
def exported(source: SamSegmenter, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exports") / "vit_b"
    export_sam(source, folder, Precision.FP32)
    return folder


def loaded(folder: Path, tmp_path: Path):
    return load_segmenter(f"onnx:{folder}", threads=1, folders=WeightFolders(None, tmp_path))


@pytest.mark.parametrize(
    "prompt",
    [
        Prompt(points=[[30, 40]], labels=[1]),
        Prompt(points=[[30, 40], [90, 20], [5, 5]], labels=[1, 0, 1]),
        Prompt(box=[10, 20, 100, 70]),
        Prompt(points=[[30, 40]], labels=[0], box=[10, 20, 100, 70]),
        Prompt(points=[[30, 40]], labels=[1], logits=np.full((32, 32), 3.0, np.float32)),
        Prompt(logits=np.linspace(-5, 5, 1024, dtype=np.float32).reshape(32, 32)),
    ],
    ids=["a click", "clicks", "a box", "a box and a click", "a click and logits", "logits"],
)
def test_masks_scores_and_logits_are_those_of_the_source(
    source: SamSegmenter, exported: Path, tmp_path: Path, prompt: Prompt
) -> None:
    image = np.random.default_rng(0).integers(0, 255, (90, 120, 3), np.uint8)
    model = loaded(exported, tmp_path)
    for multimask in (None, True, False):
        (one,), (other,) = (each.decode(each.encode(image), [prompt], multimask=multimask) for each in (source, model))
        np.testing.assert_allclose(other.logits, one.logits, rtol=0, atol=1e-4)
        np.testing.assert_allclose(other.predicted_iou, one.predicted_iou, rtol=0, atol=1e-4)
        assert (np.asarray(one.masks) != np.asarray(other.masks)).mean() < 1e-3


def test_the_manifest_says_what_was_exported_and_how_it_was_checked(exported: Path) -> None:
    manifest = read_manifest(exported)
    assert (manifest.model, manifest.version, manifest.precision) == ("sam:vit_b", "sam:vit_b-0", "fp32")
    assert manifest.files.keys() == {path.name for path in exported.iterdir()} - {MANIFEST}
    assert manifest.check.prompts == 24
    assert manifest.check.mean_iou > 0.999
    assert manifest.check.largest_score_difference < 1e-4


def test_an_export_is_listed_as_its_source_and_has_a_version_of_its_own(exported: Path, tmp_path: Path) -> None:
    info = model_info(f"onnx:{exported}")
    assert info.description == "sam:vit_b as ONNX, fp32."
    assert info.has_features
    assert not info.missing_packages
    model = loaded(exported, tmp_path)
    assert model.version.startswith("sam:vit_b-0-fp32-")
    assert model.device == "cpu"


@pytest.mark.parametrize("precision", [Precision.FP16, Precision.INT8])
def test_fewer_bits_are_less_on_disk_and_about_the_same_masks(
    source: SamSegmenter, exported: Path, tmp_path: Path, precision: Precision
) -> None:
    check = export_sam(source, tmp_path / "small", precision).check
    assert check.mean_iou > 0.95

    small, whole = (folder / "encoder.onnx.data" for folder in (tmp_path / "small", exported))
    assert small.stat().st_size < whole.stat().st_size


def test_an_export_that_answers_otherwise_is_not_kept(
    source: SamSegmenter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sam_export, "compare", lambda *_: replace(read_check(), mean_iou=0.5))
    with pytest.raises(WeightsError, match=r"does not give the masks of its source: their mean IoU is 0\.500"):
        export_sam(source, tmp_path / "vit_b", Precision.FP32)
    assert list(tmp_path.iterdir()) == []


def read_check():
    return sam_export.Check(0, 1, 1, 1.0, 1.0, 0.0)


def test_a_folder_that_holds_something_is_left_alone_and_what_a_killed_export_left_is_not_in_the_way(
    source: SamSegmenter, tmp_path: Path
) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "note.txt").write_text("mine")
    with pytest.raises(BadRequestError, match="exists and is not an empty folder"):
        export_sam(source, tmp_path / "full", Precision.FP32)
    (tmp_path / ".vit_b.sam-inspect-part").mkdir()
    (tmp_path / ".vit_b.sam-inspect-part" / "encoder.onnx").write_bytes(b"half")
    steps: list[str] = []
    export_sam(source, tmp_path / "vit_b", Precision.FP32, lambda done, total, doing="": steps.append(doing))
    assert steps == ["the encoder", "the decoder", "the check", ""]
    assert {path.name for path in tmp_path.iterdir()} == {"full", "vit_b"}


def test_a_file_that_was_changed_is_found_when_it_is_loaded(source: SamSegmenter, tmp_path: Path) -> None:
    export_sam(source, tmp_path / "vit_b", Precision.FP32)
    data = tmp_path / "vit_b" / "decoder.onnx.data"
    data.write_bytes(data.read_bytes()[:-1] + b"x")
    with pytest.raises(WeightsError, match=r"decoder\.onnx\.data is missing or is not what was exported"):
        loaded(tmp_path / "vit_b", tmp_path)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, r"holds no exported model \(manifest.json: No such file or directory\); expected a folder that"),
        ("{", r"manifest.json is no manifest of a model \(Invalid JSON"),
        ("{}", r"manifest.json is no manifest of a model \(Field required\); expected a folder that"),
    ],
)
def test_another_folder_is_one_sentence(tmp_path: Path, content: str | None, sentence: str) -> None:
    if content is not None:
        (tmp_path / MANIFEST).write_text(content)
    with pytest.raises(WeightsError, match=sentence) as caught:
        load_segmenter(f"onnx:{tmp_path}")
    assert "\n" not in str(caught.value)


def test_a_manifest_that_names_files_elsewhere_is_refused(exported: Path, tmp_path: Path) -> None:
    manifest = json.loads((exported / MANIFEST).read_text())
    manifest["files"]["../secret"] = "00"
    (tmp_path / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(WeightsError, match=r"does not name encoder\.onnx and decoder\.onnx beside it"):
        load_segmenter(f"onnx:{tmp_path}")
