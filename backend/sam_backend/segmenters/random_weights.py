"""The published architectures with random weights: they cost what the published models cost, and answer nonsense.

What differs from the defaults of `transformers` is taken from its scripts that converted the published checkpoints.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from sam_backend.segmenters.entries import OWN, segmenter_class
from sam_backend.segmenters.hub_entries import FAMILIES, segmenter_of

if TYPE_CHECKING:
    from sam_backend.segmenters.model_info import ModelInfo
    from sam_backend.segmenters.protocol import Segmenter

_VIT: dict[str, dict[str, Any]] = {
    "vit_b": {"hidden_size": 768},
    "vit_l": {
        "hidden_size": 1024,
        "num_hidden_layers": 24,
        "num_attention_heads": 16,
        "global_attn_indexes": [5, 11, 17, 23],
    },
    "vit_h": {
        "hidden_size": 1280,
        "num_hidden_layers": 32,
        "num_attention_heads": 16,
        "global_attn_indexes": [7, 15, 23, 31],
    },
}
_SLIM: dict[str, Any] = {
    "hidden_size": 168,
    "mlp_dim": 696,
    "num_attention_heads": 12,
    "global_attn_indexes": [2, 5, 8, 11],
}
_HIERA: dict[str, dict[str, Any]] = {
    "tiny": {},
    "small": {"blocks_per_stage": [1, 2, 11, 2], "global_attention_blocks": [7, 10, 13]},
    "base_plus": {
        "hidden_size": 112,
        "embed_dim_per_stage": [112, 224, 448, 896],
        "num_attention_heads_per_stage": [2, 4, 8, 16],
        "blocks_per_stage": [2, 3, 16, 3],
        "global_attention_blocks": [12, 16, 20],
        "window_positional_embedding_background_size": [14, 14],
    },
    "large": {
        "hidden_size": 144,
        "embed_dim_per_stage": [144, 288, 576, 1152],
        "num_attention_heads_per_stage": [2, 4, 8, 16],
        "blocks_per_stage": [2, 6, 36, 4],
        "global_attention_blocks": [23, 33, 43],
        "window_positional_embedding_background_size": [7, 7],
        "window_size_per_stage": [8, 4, 16, 8],
    },
}
_REPVIT = {"in_chans": 3, "features_only": True, "out_indices": [0, 1, 2, 3]}


def with_random_weights(info: ModelInfo) -> Segmenter:
    """Return one of the models that need weights, of `OWN`, with random ones."""
    version = f"{info.name}-random"
    family = info.name.partition(":")[0]
    if info.files:
        kind = segmenter_class(info)
        return kind(kind.build(info.name), info, version=version)
    import transformers

    model: Any = getattr(transformers, FAMILIES[family].model)(configuration(info.name))
    images = getattr(transformers, FAMILIES[family].images)()
    parts: dict[str, Any] = {}
    if FAMILIES[family].detector:
        model.vision_encoder.backbone = None
        detector = getattr(transformers, FAMILIES[family].detector)
        # A click asks for no text.
        parts = {"detector": detector(detector.config_class()), "tokenizer": None}
    loaded: Segmenter = segmenter_of(info)(model, images, info, version=version, **parts)
    return loaded


def configuration(name: str) -> Any:
    """Return the published configuration of a model that `transformers` runs, as far as it answers clicks and boxes."""
    hub: Any = import_module("transformers")
    family, _, size = name.partition(":")
    if family == "sam":
        return hub.SamConfig(vision_config=hub.SamVisionConfig(**_VIT[size]))
    if family == "slimsam":
        return hub.SamConfig(vision_config=hub.SamVisionConfig(**_SLIM))
    if family == "hq":
        vision, width = hub.SamHQVisionConfig(**_VIT[size]), _VIT[size]["hidden_size"]
        return hub.SamHQConfig(vision_config=vision, mask_decoder_config={"vit_dim": width})
    if family == "sam2.1":
        hiera = hub.Sam2HieraDetConfig(**_HIERA[size])
        channels = list(hiera.embed_dim_per_stage[::-1])
        return hub.Sam2Config(vision_config=hub.Sam2VisionConfig(backbone_config=hiera, backbone_channel_list=channels))
    if family == "edgetam":
        backbone = hub.TimmWrapperConfig(architecture="repvit_m1", model_args=_REPVIT)
        return hub.EdgeTamConfig(vision_config=hub.EdgeTamVisionConfig(backbone_config=backbone))
    return hub.Sam3TrackerConfig()


def has_random_weights(info: ModelInfo) -> bool:
    """Return whether `with_random_weights` makes this model."""
    return bool(info.weights) and OWN.get(info.name) is info
