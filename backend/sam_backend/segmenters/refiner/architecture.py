"""The PyTorch form of the refiner; for training and export, not for serving.

The backbone sees the pixels of a window once. The head sees the pixels, the last mask and all clicks as maps of the
window's own resolution, adds the backbone's features at each stride, and returns a change of the last mask's logits.
Dense guidance next to the pixels is what lets corrections converge (Sofiiuk et al., RITM, arXiv 2102.06583; Chen et
al., FocalClick, arXiv 2204.02574).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from sam_backend.segmenters.nano.architecture import Backbone
from sam_backend.segmenters.refiner.guidance import MAPS, WINDOW

WIDTHS = (64, 96, 128, 160)
"""Channels of the head at stride 4, 8, 16 and 32."""

STRIDE = 4
_TAPS = (16, 24, 40, 112)
_BACKBONE_BLOCKS = 11
_GROUPS = 8
_CERTAIN = 0.03
_MEAN, _SPREAD = 127.0, 128.0


def normalised(pixels: Tensor) -> Tensor:
    """Return pixels uint8 (B, S, S, 3) as the nets take them, float32 (B, 3, S, S): (x - 127) / 128."""
    return (pixels.permute(0, 3, 1, 2).float() - _MEAN) / _SPREAD


class WindowBackbone(Backbone):
    """The first eleven blocks of EfficientNet-Lite0: maps at stride 2, 4, 8 and 16."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = self.blocks[:_BACKBONE_BLOCKS]


class Separable(nn.Module):
    """Depth-wise and point-wise convolution, group normalisation, ReLU."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(inputs, inputs, 3, stride, padding=1, groups=inputs, bias=False)
        self.pointwise = nn.Conv2d(inputs, outputs, 1, bias=False)
        self.norm = nn.GroupNorm(_GROUPS, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, outputs, H / stride, W / stride)."""
        # On a CPU, depth-wise convolutions learn faster in float32 than in bfloat16.
        with torch.autocast(x.device.type, enabled=False):
            x = self.depthwise(x.float())
        return functional.relu(self.norm(self.pointwise(x)))


class Residual(nn.Module):
    """Two separable convolutions beside the identity."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = Separable(channels, channels)
        self.second = Separable(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, channels, H, W)."""
        y: Tensor = x + self.second(self.first(x))
        return y


def _stage(channels: int, blocks: int) -> nn.Sequential:
    return nn.Sequential(*(Residual(channels) for _ in range(blocks)))


class Head(nn.Module):
    """Pixels, maps and features of windows -> logits of the corrected masks and their predicted IoU."""

    def __init__(self, widths: Sequence[int] = WIDTHS) -> None:
        super().__init__()
        # The finest map of the backbone enters at stride 4 as well, its four cells side by side.
        taps = (4 * _TAPS[0] + _TAPS[1], *_TAPS[2:])
        self.lateral = nn.ModuleList(
            nn.Sequential(nn.Conv2d(tap, width, 1), nn.GroupNorm(_GROUPS, width))
            for tap, width in zip(taps, widths, strict=False)
        )
        self.entry = nn.Conv2d(STRIDE**2 * (3 + MAPS), widths[0], 1)
        self.down = nn.ModuleList(Separable(*pair, stride=2) for pair in pairwise(widths))
        self.encode = nn.ModuleList(map(_stage, widths, (2, 2, 2, 2)))
        self.up = nn.ModuleList(nn.Conv2d(high, low, 1) for low, high in pairwise(widths))
        self.decode = nn.ModuleList(map(_stage, widths[:-1], (2, 2, 1)))
        self.everywhere = nn.Linear(widths[-1], widths[-1])
        self.exit = nn.Conv2d(widths[0], STRIDE**2, 3, padding=1)
        nn.init.zeros_(self.exit.weight)
        assert self.exit.bias is not None
        nn.init.zeros_(self.exit.bias)
        self.kept = nn.Parameter(torch.tensor(0.6))
        self.quality = nn.Sequential(nn.Linear(widths[-1] + 3, 64), nn.ReLU(), nn.Linear(64, 1))

    def features(self, taps: Sequence[Tensor]) -> list[Tensor]:
        """Return what the head needs of a window's backbone maps; it is the same for every click."""
        half, quarter, *coarse = taps
        fine = torch.cat([functional.pixel_unshuffle(half, 2), quarter], 1)
        return [lateral(tap) for lateral, tap in zip(self.lateral, (fine, *coarse), strict=True)]

    def forward(self, pixels: Tensor, features: Sequence[Tensor], maps: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits (B, S, S) and the logit of the predicted IoU (B,).

        Parameters
        ----------
        pixels : (B, 3, S, S), normalised.
        features : of `features`, each with B rows.
        maps : (B, MAPS, S, S), see `guidance.guidance_maps`; the first is the last mask's probability.
        """
        x = functional.pixel_unshuffle(torch.cat([pixels, maps], 1), STRIDE)
        x = functional.relu(self.entry(x) + features[0])
        skips: list[Tensor] = []
        for level, stage in enumerate(self.encode):
            x = stage(x)
            skips.append(x)
            if level < len(self.down):
                x = self.down[level](x)
                if level + 1 < len(features):
                    x = x + features[level + 1]
        pooled = x.mean((2, 3))
        x = x + self.everywhere(pooled)[:, :, None, None]
        for level in range(len(self.decode) - 1, -1, -1):
            larger = functional.interpolate(self.up[level](x), scale_factor=2.0, mode="bilinear")
            x = self.decode[level](skips[level] + larger)
        change = functional.pixel_shuffle(self.exit(x), STRIDE)[:, 0].float()
        logits = change + self.kept * torch.logit(maps[:, 0].float().clamp(_CERTAIN, 1 - _CERTAIN))
        quality = self.quality(torch.cat([pooled.float(), _decidedness(logits.detach())], 1))
        return logits, quality[:, 0]


def _decidedness(logits: Tensor) -> Tensor:
    """Return (B, 3): the expected IoU, the certainty of the border, and the size of each mask."""
    probability = torch.sigmoid(logits)
    inside = (probability > 0.5).float()
    total, area = probability.sum((1, 2)) + 1.0, inside.sum((1, 2)) + 1.0
    agreed = (probability * inside).sum((1, 2))
    certain = (probability > 0.8).float().sum((1, 2)) / ((probability > 0.2).float().sum((1, 2)) + 1.0)
    return torch.stack([agreed / (area + total - agreed), certain, torch.sqrt(area / WINDOW**2)], 1)


class RefinerNet(nn.Module):
    """Backbone and head; both take pixels of `normalised`."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = WindowBackbone()
        self.head = Head()

    def features(self, pixels: Tensor) -> list[Tensor]:
        """Return the features of windows (B, 3, S, S)."""
        return self.head.features(self.backbone(pixels))
