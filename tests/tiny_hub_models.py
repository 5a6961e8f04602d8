"""Tiny models of the real architectures with seeded random weights, saved in the layout of the Hugging Face Hub."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers as hub
from safetensors.torch import save_file

SIDE = 256
"""Pixels of the square that they see."""

WIDTH = 32
"""Features of a place."""

WIDTH_OF_VIDEO = 128
"""Features of a place where videos are followed: memories have half of them, and the package knows only 64."""

_PROMPTS = {"image_size": SIDE, "patch_size": 16, "mask_input_channels": 8}
_DECODER = {"mlp_dim": 32, "num_attention_heads": 2, "iou_head_hidden_dim": 32}
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
_PYRAMID = {"backbone_feature_sizes": [[64, 64], [32, 32], [16, 16]]}


def _memory(width: int) -> dict[str, Any]:
    return {
        "image_size": SIDE,
        "mask_downsampler_embed_dim": width,
        "memory_attention_hidden_size": width,
        "memory_attention_num_layers": 1,
        "memory_attention_feed_forward_hidden_size": 32,
        "memory_attention_rope_feat_sizes": [16, 16],
        "memory_encoder_hidden_size": width,
        "memory_encoder_output_channels": width // 2,
        "memory_fuser_num_layers": 1,
        "memory_fuser_embed_dim": width,
        "memory_fuser_intermediate_dim": 32,
    }


def _parts(prefix: str, vision: Any, width: int, **decoder: Any) -> dict[str, Any]:
    """Return the configuration of a model's three parts."""
    prompts = getattr(hub, f"{prefix}PromptEncoderConfig")(hidden_size=width, **_PROMPTS)
    masks = getattr(hub, f"{prefix}MaskDecoderConfig")(hidden_size=width, **_DECODER, **decoder)
    return {"vision_config": vision, "prompt_encoder_config": prompts, "mask_decoder_config": masks}


def _sam(width: int) -> Any:
    vision = hub.SamVisionConfig(**_VIT)
    return hub.SamModel(hub.SamConfig(**_parts("Sam", vision, width)))


def _hq(width: int) -> Any:
    vision = hub.SamHQVisionConfig(**_VIT, initializer_range=0.02)
    return hub.SamHQModel(hub.SamHQConfig(**_parts("SamHQ", vision, width, vit_dim=32)))


def _sam2_vision(width: int) -> Any:
    hiera = hub.Sam2HieraDetConfig(
        hidden_size=8,
        image_size=[SIDE, SIDE],
        blocks_per_stage=[1, 2, 2, 1],
        embed_dim_per_stage=[8, 16, 32, 64],
        num_attention_heads_per_stage=[1, 1, 2, 2],
        window_size_per_stage=[4, 4, 4, 4],
        global_attention_blocks=[4],
    )
    return hub.Sam2VisionConfig(
        backbone_config=hiera, backbone_channel_list=[64, 32, 16, 8], fpn_hidden_size=width, **_PYRAMID
    )


def _sam2(width: int) -> Any:
    # What is published is the model for video, of which the one for images is a part; so it is with EdgeTAM.
    return hub.Sam2VideoModel(
        hub.Sam2VideoConfig(
            **_parts("Sam2Video", _sam2_vision(width), width),
            **_memory(width),
        )
    )


def _edgetam(width: int) -> Any:
    backbone = hub.TimmWrapperConfig(
        architecture="repvit_m1", model_args={"in_chans": 3, "features_only": True, "out_indices": [0, 1, 2, 3]}
    )
    vision = hub.EdgeTamVisionConfig(backbone_config=backbone, fpn_hidden_size=width, **_PYRAMID)
    memory = {name: value for name, value in _memory(width).items() if not name.endswith("feed_forward_hidden_size")}
    parts = _parts("EdgeTamVideo", vision, width)
    return hub.EdgeTamVideoModel(hub.EdgeTamVideoConfig(**parts, perceiver_resampler_hidden_size=width // 2, **memory))


def _sam3_vision(width: int) -> Any:
    vit = {name: value for name, value in _VIT.items() if name not in ("output_channels", "mlp_dim", "num_pos_feats")}
    backbone = hub.Sam3ViTConfig(**vit, intermediate_size=64, pretrain_image_size=SIDE)
    return hub.Sam3VisionConfig(backbone_config=backbone, fpn_hidden_size=width, **_PYRAMID)


def _sam3(width: int) -> Any:
    part = {"hidden_size": width, "num_attention_heads": 2}
    layers = {**part, "num_layers": 1, "intermediate_size": 64}
    text = {
        **part,
        "intermediate_size": 64,
        "projection_dim": 16,
        "num_hidden_layers": 1,
        "max_position_embeddings": 32,
        "hidden_act": "gelu",
        **_ENDS,
    }
    detector = hub.Sam3Config(
        vision_config=_sam3_vision(width),
        text_config=hub.CLIPTextConfig(vocab_size=len(_vocabulary()), **text),
        geometry_encoder_config=layers,
        detr_encoder_config=layers,
        detr_decoder_config=layers | {"num_queries": 8},
        mask_decoder_config=part,
    )
    tracker = hub.Sam3TrackerVideoConfig(**_parts("Sam3TrackerVideo", _sam3_vision(width), width), **_memory(width))
    model = hub.Sam3VideoModel(hub.Sam3VideoConfig(detector_config=detector, tracker_config=tracker))
    for name, weight in model.detector_model.named_parameters():
        # With the package's small weights, no text and no box would change a score by what a test can see.
        if weight.ndim > 1 and "vision_encoder" not in name:
            torch.nn.init.normal_(weight, std=0.3)
    # Of random scores, those of the tracker would all say that its objects are hidden.
    torch.nn.init.constant_(model.tracker_model.mask_decoder.pred_obj_score_head.proj_out.bias, 0.5)
    # Sure that what is asked for is there, so that some scores are high enough to be shown.
    torch.nn.init.constant_(model.detector_model.detr_decoder.presence_head.layer3.bias, 8.0)
    return model


def _vocabulary() -> list[str]:
    """Return the tokens of a CLIP tokenizer that knows single letters alone."""
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    return [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]


_ENDS = {"bos_token_id": len(_vocabulary()) - 2, "eos_token_id": len(_vocabulary()) - 1}


def tokenizer() -> Any:
    """Return the tokenizer of the tiny SAM 3."""
    return hub.CLIPTokenizer(vocab={token: number for number, token in enumerate(_vocabulary())}, merges=[])


_MADE = {"sam": _sam, "slimsam": _sam, "hq": _hq, "sam2.1": _sam2, "edgetam": _edgetam, "sam3": _sam3}


def save_tiny(family: str, folder: Path, width: int = WIDTH) -> None:
    """Save a tiny model of a family, and its image processor, in a folder."""
    torch.manual_seed(0)
    model = _MADE[family](width).eval()
    if family == "sam3":
        # The package would write some names in another way than the published file has them.
        model.config.save_pretrained(folder)
        tensors = {name: value.contiguous() for name, value in model.state_dict().items()}
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
        tokenizer().save_pretrained(folder)
    else:
        model.save_pretrained(folder)
    images_of(family).save_pretrained(folder)


def images_of(family: str) -> Any:
    """Return a family's image processor for the tiny models."""
    square = {"height": SIDE, "width": SIDE}
    if family in ("sam", "slimsam", "hq"):
        return hub.SamImageProcessor(size={"longest_edge": SIDE}, pad_size=square)
    kind = hub.Sam3ImageProcessor if family == "sam3" else hub.Sam2ImageProcessor
    return kind(size=square, mask_size={"height": SIDE // 4, "width": SIDE // 4})
