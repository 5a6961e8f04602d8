"""Tiny models as the ONNX files that other projects write, with the names, shapes and contents of theirs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from segment_anything.modeling import Sam
from segment_anything.utils.onnx import SamOnnxModel
from torch import Tensor, nn

from sam_backend.finetune.onnx_export import write_onnx

_PROMPT = ["point_coords", "point_labels", "mask_input", "has_mask_input"]


class _Colours(nn.Module):
    """The encoder of samexporter with `--use-preprocess`: colours (h, w, 3) are normalised and padded inside."""

    def __init__(self, model: Sam) -> None:
        super().__init__()
        self.model = model

    def forward(self, colours: Tensor) -> Tensor:
        square = self.model.preprocess(colours.permute(2, 0, 1))
        features: Tensor = self.model.image_encoder(square[None])
        return features


class _Sam2Encoder(nn.Module):
    """The maps of a SAM 2 of `transformers` in an order."""

    def __init__(self, model: Any, order: tuple[int, ...]) -> None:
        super().__init__()
        self.model, self.order = model, order

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        maps = self.model.get_image_embeddings(image)
        return tuple(maps[level] for level in self.order)


class _Sam2Decoder(nn.Module):
    """Its decoder; `all_masks` also gives the single one, and with a size the masks in that size."""

    def __init__(self, model: Any, *, all_masks: bool) -> None:
        super().__init__()
        self.model, self.all_masks = model, all_masks

    def forward(
        self, coarse: Tensor, fine0: Tensor, fine1: Tensor, coords: Tensor, labels: Tensor, *rest: Tensor
    ) -> Any:
        mask, has_mask, *size = rest
        prompts = self.model.prompt_encoder
        sparse = prompts._embed_points(coords[:, None], labels[:, None].to(torch.int64), pad=True)
        dense = has_mask * prompts.mask_embed(mask) + (1 - has_mask) * prompts.no_mask_embed.weight.reshape(1, -1, 1, 1)
        answers = [
            self.model.mask_decoder(
                image_embeddings=coarse,
                image_positional_embeddings=self.model.get_image_wide_positional_embeddings(),
                sparse_prompt_embeddings=sparse,
                dense_prompt_embeddings=dense,
                multimask_output=several,
                high_resolution_features=[fine0, fine1],
            )
            for several in ((False, True) if self.all_masks else (True,))
        ]
        low, scores = (torch.cat([answer[part] for answer in answers], 2)[:, 0] for part in (0, 1))
        low = low.clamp(-32, 32)
        if not size:
            return low, scores
        drawn = nn.functional.interpolate(low, size=(size[0][0], size[0][1]), mode="bilinear", align_corners=False)
        return drawn, scores, low


def write_sam(model: Sam, folder: Path, *, colours: bool, single: bool, encoder_input: str = "input_image") -> None:
    """Write a SAM as samexporter does, or labelme where the encoder's input is called `x`."""
    folder.mkdir(parents=True, exist_ok=True)
    side, (rows, columns) = model.image_encoder.img_size, model.prompt_encoder.image_embedding_size
    if colours:
        axes = {encoder_input: {0: "image_height", 1: "image_width"}}
        encoder: nn.Module = _Colours(model)
        image = torch.rand(side, side, 3)
    else:
        axes, encoder, image = {}, model.image_encoder, torch.rand(1, 3, side, side)
    write_onnx(encoder, (image,), folder / "a.encoder.onnx", [encoder_input], ["image_embeddings"], axes)
    given = (
        torch.rand(1, model.prompt_encoder.embed_dim, rows, columns),
        torch.rand(1, 5, 2) * side,
        torch.ones(1, 5),
        torch.rand(1, 1, 4 * rows, 4 * columns),
        torch.ones(1),
        torch.tensor([1500.0, 2250.0]),
    )
    inputs, outputs = ["image_embeddings", *_PROMPT, "orig_im_size"], ["masks", "iou_predictions", "low_res_masks"]
    axes = {"point_coords": {1: "num_points"}, "point_labels": {1: "num_points"}}
    decoder = SamOnnxModel(model, return_single_mask=single)
    write_onnx(decoder, given, folder / "a.decoder.onnx", inputs, outputs, axes)


def write_sam2(model: Any, folder: Path, side: int, *, of_osam: bool) -> None:
    """Write a SAM 2 of `transformers` as samexporter does, or as osam has it."""
    folder.mkdir(parents=True, exist_ok=True)
    finer = ["high_res_features1", "high_res_features2"] if of_osam else ["high_res_feats_0", "high_res_feats_1"]
    coarse = "image_embeddings" if of_osam else "image_embed"
    image = torch.rand(1, 3, side, side)
    order, outputs = ((2, 0, 1), [coarse, *finer]) if of_osam else ((0, 1, 2), [*finer, coarse])
    encoder, name = _Sam2Encoder(model, order), "input" if of_osam else "image"
    write_onnx(encoder, (image,), folder / "tiny_preprocess.onnx", [name], outputs, {})
    maps = model.get_image_embeddings(image)
    prompt = (torch.rand(1, 5, 2) * side, torch.ones(1, 5), torch.rand(1, 1, side // 4, side // 4), torch.ones(1))
    size = (torch.tensor([side, side]),) if of_osam else ()
    inputs = [coarse, *finer, *_PROMPT, *(["orig_im_size"] if of_osam else [])]
    outputs = ["masks", "iou_predictions", *(["low_res_masks"] if of_osam else [])]
    axes = {"point_coords": {0: "num_labels", 1: "num_points"}, "point_labels": {0: "num_labels", 1: "num_points"}}
    axes |= {"mask_input": {0: "num_labels"}, "has_mask_input": {0: "num_labels"}}
    decoder = _Sam2Decoder(model, all_masks=of_osam)
    write_onnx(decoder, (maps[2], maps[0], maps[1], *prompt, *size), folder / "tiny.onnx", inputs, outputs, axes)
