"""The weights that a fine-tuning starts from, and the files that it leaves."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the torch extra is not installed")

from sam_backend.errors import WeightsError  # noqa: E402
from sam_backend.finetune.trainable import load_trainable  # noqa: E402
from sam_backend.segmenters import Prompt  # noqa: E402
from sam_backend.segmenters.nano import segmenter  # noqa: E402
from sam_backend.segmenters.nano.segmenter import NanoSegmenter  # noqa: E402

pytestmark = pytest.mark.slow


def test_the_shipped_weights_of_nano_answer_as_its_shipped_onnx_files_do(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 256, (96, 128, 3), np.uint8)
    image[20:60, 30:90] = 220
    prompts = [
        Prompt(points=np.array([[60, 40]]), labels=np.array([1])),
        Prompt(box=np.array([28, 18, 92, 62])),
        Prompt(points=np.array([[60, 40], [10, 10]]), labels=np.array([1, 0]), logits=np.ones((256, 256), np.float32)),
    ]
    load_trainable("nano").write(tmp_path)
    shipped, exported = NanoSegmenter(threads=1), NanoSegmenter(tmp_path, threads=1)
    expected, found = (each.decode(each.encode(image), prompts) for each in (shipped, exported))
    for one, other in zip(expected, found, strict=True):
        assert one.logits == pytest.approx(other.logits, abs=1e-3)
        assert one.predicted_iou == pytest.approx(other.predicted_iou, abs=1e-4)


def test_a_tuned_nano_is_served_from_onnx_and_tuned_on_from_its_weights(tmp_path: Path) -> None:
    trainable = load_trainable("nano")
    with torch.no_grad():
        trainable.model.mask_decoder.mask_tokens.weight.add_(0.01)
    trainable.write(tmp_path)
    (tmp_path / "other").touch()
    assert {path.stat().st_mode for path in tmp_path.iterdir()} == {(tmp_path / "other").stat().st_mode}
    assert NanoSegmenter(tmp_path, threads=1).version != NanoSegmenter(threads=1).version
    again = load_trainable("nano", tmp_path)
    assert again.digest() == trainable.digest() != load_trainable("nano").digest()


def test_a_nano_that_an_earlier_version_tuned_says_how_to_go_on(tmp_path: Path) -> None:
    for name in ("encoder.onnx", "decoder.onnx", "outline.onnx"):
        shutil.copy(Path(segmenter.__file__).with_name(name), tmp_path)
    NanoSegmenter(tmp_path, threads=1)
    with pytest.raises(WeightsError, match=r"sam-inspect models rollback.*fine-tune again"):
        load_trainable("nano", tmp_path)


@pytest.mark.parametrize("content", [b"no weights", b""])
def test_a_file_that_holds_no_weights_is_refused_in_one_sentence(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "weights.safetensors").write_bytes(content)
    with pytest.raises(WeightsError, match="does not hold the weights of nano") as caught:
        load_trainable("nano", tmp_path)
    assert "\n" not in str(caught.value)


def test_a_model_that_does_not_learn_is_refused() -> None:
    with pytest.raises(WeightsError, match="grabcut cannot be tuned"):
        load_trainable("grabcut")
