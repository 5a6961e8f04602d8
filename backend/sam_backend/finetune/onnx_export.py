"""Exports `nano` from PyTorch to the two ONNX files that serving runs."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sam_backend.files import whole_file
from sam_backend.segmenters.nano.architecture import EMBEDDING_CHANNELS, IMAGE_SIZE, build_nano

_OPSET = 18


class _Encoder(nn.Module):
    """uint8 image (1, 512, 512, 3), padded with 127 -> embedding (1, 384, 64, 64)."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.encoder = model.image_encoder
        self.mean, self.std = model.pixel_mean, model.pixel_std

    def forward(self, image: Tensor) -> Tensor:
        embedding: Tensor = self.encoder((image.permute(0, 3, 1, 2).float() - self.mean) / self.std)
        return embedding


class _Decoder(nn.Module):
    """Embedding and prompts -> mask logits (B, 4, 256, 256) and predicted IoU (B, 4).

    Labels are SAM's: 1 positive, 0 negative, 2 and 3 the corners of a box, -1 the padding point that SAM adds
    where there is no box.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.prompts, self.decoder = model.prompt_encoder, model.mask_decoder
        self.register_buffer("position", model.prompt_encoder.get_dense_pe().detach())
        self.size = model.image_encoder.img_size

    def forward(self, embedding: Tensor, coords: Tensor, labels: Tensor, logits: Tensor, has_logits: Tensor) -> Any:
        prompts = self.prompts
        sparse = prompts.pe_layer._pe_encoding((coords + 0.5) / self.size)
        label = labels[..., None]
        sparse = sparse * (label != -1) + prompts.not_a_point_embed.weight * (label == -1)
        for index, point_embedding in enumerate(prompts.point_embeddings):
            sparse = sparse + point_embedding.weight * (label == index)
        given = has_logits[:, None, None, None]
        dense = prompts.mask_downscaling(logits) * given
        dense = dense + prompts.no_mask_embed.weight.reshape(1, -1, 1, 1) * (1 - given)
        return self.decoder.predict_masks(embedding, self.position, sparse, dense + prompts.maps(coords, labels))


def export_nano(weights: dict[str, Tensor], folder: Path) -> tuple[Path, Path]:
    """Write `encoder.onnx` and `decoder.onnx` into a folder, each whole or not at all, and return their paths.

    The encoder takes `image` uint8 (1, 512, 512, 3) and gives `embedding` (1, 384, 64, 64). The decoder takes
    `embedding`, `coords` (B, N, 2) in pixels of the encoder's input, `labels` (B, N), `logits` (B, 1, 256, 256), and
    `has_logits` (B,), 0 where there are none; it gives `masks` (B, 4, 256, 256) and `iou` (B, 4).

    Parameters
    ----------
    weights : dict of Tensor, the state of `build_nano()`, on the CPU.
    folder : Path, made where it is missing.
    """
    model = build_nano()
    model.load_state_dict(weights)
    model.eval()
    folder.mkdir(parents=True, exist_ok=True)
    encoder, decoder = folder / "encoder.onnx", folder / "decoder.onnx"
    image = torch.zeros(1, IMAGE_SIZE, IMAGE_SIZE, 3, dtype=torch.uint8)
    write_onnx(_Encoder(model), (image,), encoder, ["image"], ["embedding"], {})
    rows, columns = model.prompt_encoder.image_embedding_size
    batch = (
        torch.randn(1, EMBEDDING_CHANNELS, rows, columns),
        torch.rand(2, 3, 2) * IMAGE_SIZE,
        torch.tensor([[1, 0, -1], [1, 2, 3]]),
        torch.randn(2, 1, 4 * rows, 4 * columns),
        torch.tensor([0.0, 1.0]),
    )
    inputs = ["embedding", "coords", "labels", "logits", "has_logits"]
    axes = {"coords": {0: "prompts", 1: "points"}, "labels": {0: "prompts", 1: "points"}}
    axes |= {"logits": {0: "prompts"}, "has_logits": {0: "prompts"}, "masks": {0: "prompts"}, "iou": {0: "prompts"}}
    write_onnx(_Decoder(model), batch, decoder, inputs, ["masks", "iou"], axes)
    return encoder, decoder


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
            opset_version=_OPSET,
            dynamo=False,
        )
