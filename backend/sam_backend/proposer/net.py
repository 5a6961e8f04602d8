"""The PyTorch form of the proposer, for training and export: a U-shaped net (Ronneberger et al., arXiv 1505.04597)."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor, nn
from torch.nn import functional

from sam_backend.files import write_whole
from sam_backend.segmenters import nano
from sam_backend.segmenters.nano.architecture import Backbone

_CHANNELS = (16, 24, 40, 112, 320)
"""Channels of the backbone's maps at stride 2, 4, 8, 16 and 32."""

_WIDTHS = (24, 32, 64, 96, 128)
"""Channels of the decoder at the same strides."""

_FROZEN_BLOCKS = 3
"""Blocks of the backbone that stay as they are, up to stride 4: edges look alike everywhere, and they cost most."""

_BACKBONE = "image_encoder.backbone."
_CLASS_WEIGHTS = ("classify.weight", "classify.bias")
_LABELS = "labels"


class _GroupNorm(nn.GroupNorm):
    """Group normalisation whose gradient takes half of the time, because it never sees channels last."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the normalised map."""
        return super().forward(x.contiguous())


class _Mix(nn.Module):
    """Two separable convolutions beside the identity."""

    def __init__(self, width: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for _ in range(2):
            layers += [
                nn.Conv2d(width, width, 3, padding=1, groups=width, bias=False),
                nn.Conv2d(width, width, 1, bias=False),
                _GroupNorm(8, width),
                nn.ReLU(),
            ]
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """Return the mixed map."""
        mixed: Tensor = x + self.layers(x)
        return mixed


class ProposerNet(nn.Module):
    """Logits of background and classes for each pixel of an image.

    Parameters
    ----------
    classes : int, the number of classes, without the background.
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.backbone = Backbone()
        pairs = list(itertools.pairwise(_WIDTHS))
        self.lateral = nn.ModuleList([nn.Conv2d(a, b, 1) for a, b in zip(_CHANNELS, _WIDTHS, strict=True)])
        self.up = nn.ModuleList([nn.Conv2d(coarse, fine, 1) for fine, coarse in pairs])
        self.mix = nn.ModuleList([_Mix(width) for width in _WIDTHS[:-1]])
        self.classify = nn.Conv2d(_WIDTHS[0], 1 + classes, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        """Return logits (B, 1 + K, H, W) of images (B, 3, H, W), RGB in [0, 255]; sides are multiples of 32."""
        maps = self.backbone((image - 127) / 128)
        x = self.lateral[4](maps[4])
        for level in (3, 2, 1, 0):
            x = functional.interpolate(self.up[level](x), scale_factor=2.0, mode="bilinear")
            x = self.mix[level](self.lateral[level](maps[level]) + x)
        return functional.interpolate(self.classify(x), scale_factor=2.0, mode="bilinear")

    def trained(self) -> dict[str, Tensor]:
        """Freeze the first blocks of the backbone, and return all other weights by name."""
        self.backbone.stem.requires_grad_(False)
        self.backbone.blocks[:_FROZEN_BLOCKS].requires_grad_(False)
        return {name: value for name, value in self.named_parameters() if value.requires_grad}


def new_net(classes: int) -> ProposerNet:
    """Return a net with the backbone of the embedded model, its other weights drawn by PyTorch's generator."""
    net = ProposerNet(classes)
    weights = load_file(Path(nano.__file__).parent / "weights.safetensors")
    net.backbone.load_state_dict(
        {name.removeprefix(_BACKBONE): value for name, value in weights.items() if name.startswith(_BACKBONE)}
    )
    return net


def write_net(net: ProposerNet, labels: Sequence[str], path: Path) -> None:
    """Write the weights of a net whose K classes have these labels; raise OSError if that fails."""
    weights = {name: value.detach().cpu().contiguous() for name, value in net.state_dict().items()}
    write_whole(path, save(weights, {_LABELS: json.dumps(list(labels))}))


def continued_net(labels: Sequence[str], path: Path) -> ProposerNet:
    """Return a net with the weights of an earlier training, new ones for labels that it did not know.

    Without a readable file of weights, the net is new.
    """
    net = new_net(len(labels))
    try:
        with safe_open(path, "pt") as file:
            known = [None, *json.loads((file.metadata() or {})[_LABELS])]
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping.
        own = net.state_dict()
        for name in _CLASS_WEIGHTS:
            rows, earlier = own[name].clone(), weights[name]
            for index, label in enumerate([None, *labels]):
                if label in known:
                    rows[index] = earlier[known.index(label)]
            weights[name] = rows
        net.load_state_dict(weights)
    except (OSError, SafetensorError, KeyError, ValueError, RuntimeError):
        return new_net(len(labels))
    return net
