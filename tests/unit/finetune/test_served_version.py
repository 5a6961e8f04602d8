"""Tuned weights are verified, loaded and asked one click before they serve."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from sam_backend.errors import SamInspectError, WeightsError
from sam_backend.finetune.served_version import load_served, promote, require_answer
from sam_backend.finetune.versions import SHIPPED, Version, Versions
from sam_backend.segmenters import Candidates, Segmenter
from sam_backend.segmenters.model_registry import load_segmenter
from sam_backend.segmenters.nano import segmenter
from threshold_segmenter import ThresholdSegmenter


def load(folder: Path | None) -> Segmenter:
    return load_segmenter("nano", folder, threads=1)


def add_nano(versions: Versions, *names: str, record: bool = True) -> Path:
    """Add a version of the shipped files; `names` are those under which encoder, decoder and outline are kept."""
    with versions.staging("nano") as folder:
        sources = ("encoder.onnx", "decoder.onnx", "outline.onnx")
        for source, name in zip(sources, names or sources, strict=True):
            shutil.copy(Path(segmenter.__file__).with_name(source), folder / name)
        return versions.folder_of(versions.add(Version("", "nano"), folder).name)


def test_a_sound_version_is_promoted_and_served(tmp_path: Path) -> None:
    versions = Versions(tmp_path)
    folder = add_nano(versions)
    assert promote(versions, "nano-0001", load) == SHIPPED
    served = load_served(versions, "nano", load)
    assert (served.name, served.folder, served.problem) == ("nano-0001", folder, "")


def test_files_that_were_swapped_before_they_were_recorded_fail_the_click(tmp_path: Path) -> None:
    versions = Versions(tmp_path)
    add_nano(versions, "decoder.onnx", "encoder.onnx", "outline.onnx")
    with pytest.raises(WeightsError, match="nano-0001 cannot be used: it fails on a test click"):
        promote(versions, "nano-0001", load)
    assert versions.current("nano") == SHIPPED


def test_one_changed_byte_in_the_weights_is_not_served(tmp_path: Path) -> None:
    versions = Versions(tmp_path)
    path = add_nano(versions) / "decoder.onnx"
    promote(versions, "nano-0001", load)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    served = load_served(versions, "nano", load)
    assert (served.name, served.folder) == (SHIPPED, None)
    assert "decoder.onnx" in served.problem
    assert "The shipped nano serves" in served.problem


class Odd(ThresholdSegmenter):
    """A model whose answer is changed by a function."""

    def __init__(self, change: object) -> None:
        super().__init__()
        self.change = change

    def decode(self, *arguments: object, **options: object) -> list[Candidates]:
        return [self.change(answer) for answer in super().decode(*arguments, **options)]


@pytest.mark.parametrize(
    "change",
    [
        lambda answer: Candidates(answer.masks, answer.predicted_iou * np.nan, answer.logits),
        lambda answer: Candidates(answer.masks, answer.predicted_iou, answer.logits * np.inf),
        lambda answer: Candidates(answer.masks[:, :9], answer.predicted_iou, answer.logits),
        lambda answer: Candidates(answer.masks[:0], answer.predicted_iou[:0], answer.logits[:0]),
        lambda answer: Candidates(answer.masks.astype(float), answer.predicted_iou, answer.logits),
        lambda answer: None,
    ],
)
def test_an_answer_that_is_no_mask_is_refused(change: object) -> None:
    require_answer(ThresholdSegmenter(), "nano-0001")
    with pytest.raises(SamInspectError, match="nano-0001 cannot be used"):
        require_answer(Odd(change), "nano-0001")
