"""The weights that a tuning starts from."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch", reason="the torch extra is not installed")

from sam_backend.errors import WeightsError
from sam_backend.finetune.starts import load_start
from sam_backend.segmenters import Prompt
from sam_backend.segmenters.entries import NANO
from sam_backend.segmenters.nano.segmenter import NanoSegmenter
from sam_backend.segmenters.sam import SamSegmenter


def test_nano_out_of_its_onnx_files_answers_as_these_do() -> None:
    image = np.random.default_rng(0).integers(0, 256, (96, 128, 3), np.uint8)
    image[20:60, 30:90] = 220
    prompts = [
        Prompt(points=np.array([[60, 40]]), labels=np.array([1])),
        Prompt(box=np.array([28, 18, 92, 62])),
        Prompt(points=np.array([[60, 40], [10, 10]]), labels=np.array([1, 0]), logits=np.ones((256, 256), np.float32)),
    ]
    served = NanoSegmenter(threads=1)
    torch_form = SamSegmenter(load_start("nano").model, NANO, version="nano-torch", device="cpu")
    expected, found = (each.decode(each.encode(image), prompts) for each in (served, torch_form))
    for one, other in zip(expected, found, strict=True):
        assert one.logits == pytest.approx(other.logits, abs=2e-2)
        assert one.predicted_iou == pytest.approx(other.predicted_iou, abs=1e-3)


def test_a_model_that_does_not_learn_is_refused() -> None:
    with pytest.raises(WeightsError, match="grabcut cannot be tuned"):
        load_start("grabcut")
