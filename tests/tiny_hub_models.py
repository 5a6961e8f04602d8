"""Tiny models of the real architectures with seeded random weights, saved in the layout of the Hugging Face Hub."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers as hub

SIDE = 256
"""Pixels of the square that they see."""

_PROMPTS = {"hidden_size": 32, "image_size": SIDE, "patch_size": 16, "mask_input_channels": 8}
_DECODER = {"hidden_size": 32, "mlp_dim": 32, "num_attention_heads": 2, "iou_head_hidden_dim": 32}
_VIT = {
    "hidden_size": 32,
    "output_channels": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "mlp_dim": 64,
    "image_size": SIDE,
    "patch_size": 16,
    "window_size": 4,
    "global_attn_indexes": [1],
    "num_pos_feats": 16,
}
_PYRAMID = {"backbone_feature_sizes": [[64, 64], [32, 32], [16, 16]], "fpn_hidden_size": 32}


def _parts(prefix: str, vision: Any, **decoder: Any) -> dict[str, Any]:
    """Return the configuration of a model's three parts."""
    prompts = getattr(hub, f"{prefix}PromptEncoderConfig")(**_PROMPTS)
    masks = getattr(hub, f"{prefix}MaskDecoderConfig")(**_DECODER, **decoder)
    return {"vision_config": vision, "prompt_encoder_config": prompts, "mask_decoder_config": masks}


def _sam() -> Any:
    vision = hub.SamVisionConfig(**_VIT)
    return hub.SamModel(hub.SamConfig(**_parts("Sam", vision)))


def _hq() -> Any:
    vision = hub.SamHQVisionConfig(**_VIT, initializer_range=0.02)
    return hub.SamHQModel(hub.SamHQConfig(**_parts("SamHQ", vision, vit_dim=32)))


def _sam2_vision() -> Any:
    hiera = hub.Sam2HieraDetConfig(
        hidden_size=8,
        image_size=[SIDE, SIDE],
        blocks_per_stage=[1, 2, 2, 1],
        embed_dim_per_stage=[8, 16, 32, 64],
        num_attention_heads_per_stage=[1, 1, 2, 2],
        window_size_per_stage=[4, 4, 4, 4],
        global_attention_blocks=[4],
    )
    return hub.Sam2VisionConfig(backbone_config=hiera, backbone_channel_list=[64, 32, 16, 8], **_PYRAMID)


def _sam2() -> Any:
    # What is published is the model for video, of which the one for images is a part.
    return hub.Sam2VideoModel(
        hub.Sam2VideoConfig(
            **_parts("Sam2Video", _sam2_vision()),
            image_size=SIDE,
            memory_attention_hidden_size=32,
            memory_attention_num_layers=1,
            memory_attention_feed_forward_hidden_size=32,
            memory_encoder_hidden_size=32,
            memory_encoder_output_channels=16,
            memory_fuser_num_layers=1,
            memory_fuser_embed_dim=32,
            memory_fuser_intermediate_dim=32,
            mask_downsampler_embed_dim=32,
        )
    )


def _edgetam() -> Any:
    backbone = hub.TimmWrapperConfig(
        architecture="repvit_m1", model_args={"in_chans": 3, "features_only": True, "out_indices": [0, 1, 2, 3]}
    )
    vision = hub.EdgeTamVisionConfig(backbone_config=backbone, **_PYRAMID)
    return hub.EdgeTamModel(hub.EdgeTamConfig(**_parts("EdgeTam", vision)))


def _sam3() -> Any:
    vit = {name: value for name, value in _VIT.items() if name not in ("output_channels", "mlp_dim", "num_pos_feats")}
    backbone = hub.Sam3ViTConfig(**vit, intermediate_size=64, pretrain_image_size=SIDE)
    vision = hub.Sam3VisionConfig(backbone_config=backbone, **_PYRAMID)
    return hub.Sam3TrackerModel(hub.Sam3TrackerConfig(**_parts("Sam3Tracker", vision)))


_MADE = {"sam": _sam, "slimsam": _sam, "hq": _hq, "sam2.1": _sam2, "edgetam": _edgetam, "sam3": _sam3}


def save_tiny(family: str, folder: Path) -> None:
    """Save a tiny model of a family, and its image processor, in a folder."""
    torch.manual_seed(0)
    _MADE[family]().eval().save_pretrained(folder)
    images_of(family).save_pretrained(folder)


def images_of(family: str) -> Any:
    """Return a family's image processor for the tiny models."""
    square = {"height": SIDE, "width": SIDE}
    if family in ("sam", "slimsam", "hq"):
        return hub.SamImageProcessor(size={"longest_edge": SIDE}, pad_size=square)
    kind = hub.Sam3ImageProcessor if family == "sam3" else hub.Sam2ImageProcessor
    return kind(size=square, mask_size={"height": SIDE // 4, "width": SIDE // 4})
