"""Exports a proposer from PyTorch to the ONNX file that serving runs."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from sam_backend.finetune.onnx_export import write_onnx
from sam_backend.proposer.manifest import WEIGHTS, Manifest
from sam_backend.proposer.net import ProposerNet


class _Shares(nn.Module):
    """uint8 image (B, H, W, 3) -> shares float32 (B, 1 + K, H, W)."""

    def __init__(self, net: ProposerNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, image: Tensor) -> Tensor:
        shares: Tensor = self.net(image.permute(0, 3, 1, 2).float()).softmax(1)
        return shares


def export_proposer(net: ProposerNet, manifest: Manifest, folder: Path) -> None:
    """Write `proposer.onnx` and `proposer.json` into an existing folder; raise OSError if that fails."""
    image = torch.zeros(1, 64, 96, 3, dtype=torch.uint8)
    sides = {0: "images", 1: "height", 2: "width"}
    axes = {"image": sides, "shares": {0: "images", 2: "height", 3: "width"}}
    write_onnx(_Shares(net), (image,), folder / WEIGHTS, ["image"], ["shares"], axes)
    manifest.write(folder)
