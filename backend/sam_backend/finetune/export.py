"""Exports a trained `nano` to the two ONNX files that serving runs, and the decoder of a tuned `sam:*` to one."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sam_backend.segmenters.nano.architecture import EMBEDDING_CHANNELS, IMAGE_SIZE, MapPromptEncoder, build_nano

OPSET = 18


class _Encoder(nn.Module):
    """uint8 image (1, 512, 512, 3), padded with 127 -> embedding (1, 384, 64, 64)."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.encoder = model.image_encoder
        self.mean, self.std = model.pixel_mean, model.pixel_std

    def forward(self, image: Tensor) -> Tensor:
        return self.encoder((image.permute(0, 3, 1, 2).float() - self.mean) / self.std)


class _Decoder(nn.Module):
    """Embedding and prompts -> mask logits (B, 4, 256, 256) and predicted IoU (B, 4), of `nano` or of SAM.

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
        if isinstance(prompts, MapPromptEncoder):
            dense = dense + prompts.maps(coords, labels)
        return self.decoder.predict_masks(embedding, self.position, sparse, dense)


def export_nano(weights: dict[str, Tensor], folder: Path) -> tuple[Path, Path]:
    """Write `encoder.onnx` and `decoder.onnx` of the given weights into `folder`, each whole or not at all."""
    model = build_nano()
    model.load_state_dict(weights)
    model.eval()
    folder.mkdir(parents=True, exist_ok=True)
    encoder, decoder = folder / "encoder.onnx", folder / "decoder.onnx"
    _write(
        _Encoder(model),
        (torch.zeros(1, IMAGE_SIZE, IMAGE_SIZE, 3, dtype=torch.uint8),),
        encoder,
        ["image"],
        ["embedding"],
        {},
    )
    export_decoder(model, decoder, EMBEDDING_CHANNELS)
    return encoder, decoder


def export_decoder(model: Any, path: Path, channels: int = 256) -> None:
    """Write the prompt encoder and the mask decoder of a `Sam`, whole or not at all.

    Inputs: `embedding` (1, C, h, w), `coords` (B, N, 2) in pixels of the encoder's input, `labels` (B, N), `logits`
    (B, 1, 256, 256), and `has_logits` (B,), 0 where these are none. Outputs: `masks` (B, 4, 256, 256) and `iou` (B, 4).

    Parameters
    ----------
    model : whose decoder is written; it is put into evaluation mode.
    path : of the file.
    channels : C.
    """
    rows, columns = model.prompt_encoder.image_embedding_size
    batch = (
        torch.randn(1, channels, rows, columns),
        torch.rand(2, 3, 2) * model.image_encoder.img_size,
        torch.tensor([[1, 0, -1], [1, 2, 3]]),
        torch.randn(2, 1, 4 * rows, 4 * columns),
        torch.tensor([0.0, 1.0]),
    )
    inputs = ["embedding", "coords", "labels", "logits", "has_logits"]
    axes = {"coords": {0: "prompts", 1: "points"}, "labels": {0: "prompts", 1: "points"}}
    axes |= {"logits": {0: "prompts"}, "has_logits": {0: "prompts"}, "masks": {0: "prompts"}, "iou": {0: "prompts"}}
    _write(_Decoder(model), batch, path, inputs, ["masks", "iou"], axes)


def _write(
    module: nn.Module,
    example: tuple[Tensor, ...],
    path: Path,
    inputs: list[str],
    outputs: list[str],
    axes: dict[str, Any],
) -> None:
    part = path.with_suffix(".part")
    with warnings.catch_warnings(), torch.no_grad():
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
    part.replace(path)
