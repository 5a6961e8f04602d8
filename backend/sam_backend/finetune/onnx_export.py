"""Exports `nano` from PyTorch to the three ONNX files that serving runs."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sam_backend.files import whole_file
from sam_backend.finetune.serving_decoder import Decoder, Outline
from sam_backend.segmenters.nano.architecture import FINE, FINEST, IMAGE_SIZE, WIDTH, build_nano

OPSET = 18
"""The version of ONNX's operators."""


class _Encoder(nn.Module):
    """uint8 image (1, 512, 512, 3), padded with 127 -> embedding (1, 384, 64, 64)."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.encoder = model.image_encoder
        self.mean, self.std = model.pixel_mean, model.pixel_std

    def forward(self, image: Tensor) -> Tensor:
        embedding: Tensor = self.encoder((image.permute(0, 3, 1, 2).float() - self.mean) / self.std)
        return embedding


def export_nano(weights: dict[str, Tensor], folder: Path) -> None:
    """Write `encoder.onnx`, `decoder.onnx` and `outline.onnx` into a folder, each whole or not at all.

    The encoder takes `image` uint8 (1, 512, 512, 3) and gives `embedding` (1, 384, 64, 64). The decoder takes its maps
    `base` (1, 4096, 96), `fine` (1, 16384, 24) and `finest` (1, 16384, 48), `coords` (B, N, 2) in pixels of the
    encoder's input, `labels` (B, N), `logits` (B, 1, 256, 256), and `has_logits` (B,), 0 where there are none; it gives
    `low` (B, 4, 128, 128), `iou` (B, 4), `maps` (B, 16384, 48) and `weights` (B, 4, 12). The outline takes a part of
    `maps` (h, w, 48) and `weights` (12,), and gives `logits` (2h, 2w).

    Parameters
    ----------
    weights : dict of Tensor, the state of `build_nano()`, on the CPU.
    folder : Path, made where it is missing.
    """
    model = build_nano()
    model.load_state_dict(weights)
    model.eval().requires_grad_(False)
    folder.mkdir(parents=True, exist_ok=True)
    image = torch.zeros(1, IMAGE_SIZE, IMAGE_SIZE, 3, dtype=torch.uint8)
    write_onnx(_Encoder(model), (image,), folder / "encoder.onnx", ["image"], ["embedding"], {})
    export_decoder(model, folder)


def export_decoder(model: Any, folder: Path) -> None:
    """Write `decoder.onnx` and `outline.onnx` of a `build_nano()` without gradients."""
    rows, columns = model.prompt_encoder.image_embedding_size
    batch = (
        torch.randn(1, rows * columns, WIDTH),
        torch.randn(1, 4 * rows * columns, FINE),
        torch.randn(1, 4 * rows * columns, 4 * FINEST),
        torch.rand(2, 3, 2) * IMAGE_SIZE,
        torch.tensor([[1, 0, -1], [1, 2, 3]]),
        torch.randn(2, 1, 4 * rows, 4 * columns),
        torch.tensor([0.0, 1.0]),
    )
    inputs = ["base", "fine", "finest", "coords", "labels", "logits", "has_logits"]
    outputs = ["low", "iou", "maps", "weights"]
    axes = {name: {0: "prompts"} for name in ("logits", "has_logits", *outputs)}
    axes |= {"coords": {0: "prompts", 1: "points"}, "labels": {0: "prompts", 1: "points"}}
    write_onnx(Decoder(model), batch, folder / "decoder.onnx", inputs, outputs, axes)
    part = (torch.randn(5, 7, 4 * FINEST), torch.randn(FINEST))
    axes = {"maps": {0: "rows", 1: "columns"}, "logits": {0: "height", 1: "width"}}
    write_onnx(Outline(model), part, folder / "outline.onnx", ["maps", "weights"], ["logits"], axes)


def write_onnx(
    module: nn.Module,
    example: tuple[Tensor, ...],
    path: Path,
    inputs: list[str],
    outputs: list[str],
    axes: dict[str, Any],
) -> None:
    """Write a module as an ONNX file, whole or not at all; `axes` names the axes of inputs and outputs that vary."""
    with whole_file(path, private=False) as part, warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module.eval(),
            example,
            str(part),
            input_names=inputs,
            output_names=outputs,
            dynamic_axes=axes,
            opset_version=OPSET,
            dynamo=False,
        )
