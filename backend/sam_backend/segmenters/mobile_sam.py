"""MobileSAM (Zhang et al. 2023, arXiv 2306.14289): a TinyViT in place of SAM's image encoder, the rest as in SAM.

The TinyViT is that of `timm`. MobileSAM keeps the map of its last stage as large as that of the stage before, so that
its features have SAM's 64 x 64 cells.
"""

from __future__ import annotations

import re
from typing import Any

from segment_anything.modeling import MaskDecoder, PromptEncoder, Sam, TwoWayTransformer
from segment_anything.modeling.common import LayerNorm2d
from timm.models.tiny_vit import TinyVit
from torch import Tensor, nn

from sam_backend.segmenters.sam import SamSegmenter

_SIDE, _CELLS, _WIDTH = 1024, 64, 256

# With what a name in the official checkpoint begins, and the name begins here; the first that fits counts.
_PREFIXES = {
    "patch_embed.seq.0.": "trunk.patch_embed.conv1.",
    "patch_embed.seq.2.": "trunk.patch_embed.conv2.",
    # A stage begins with what makes its map smaller; in the official code, the stage before ends with it.
    **{f"layers.{stage}.downsample.": f"trunk.stages.{stage + 1}.downsample." for stage in range(3)},
    "layers.": "trunk.stages.",
    "norm_head.": "trunk.head.norm.",
    "head.": "trunk.head.fc.",
    "neck.": "neck.",
}


class TinyVitEncoder(nn.Module):
    """Image (B, 3, 1024, 1024), normalised and padded -> features (B, 256, 64, 64).

    The classifier of the trunk is in the official checkpoint; it computes nothing here.
    """

    img_size = _SIDE

    def __init__(self) -> None:
        super().__init__()
        # TinyViT-5M.
        self.trunk = TinyVit(
            embed_dims=(64, 128, 160, 320),
            depths=(2, 2, 6, 2),
            num_heads=(2, 4, 5, 10),
            window_sizes=(7, 7, 14, 7),
            drop_path_rate=0.0,
        )
        last: Any = self.trunk.stages[3]
        last.downsample.conv2.conv.stride = (1, 1)
        self.neck = nn.Sequential(
            nn.Conv2d(320, _WIDTH, 1, bias=False),
            LayerNorm2d(_WIDTH),
            nn.Conv2d(_WIDTH, _WIDTH, 3, padding=1, bias=False),
            LayerNorm2d(_WIDTH),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Return the features of images."""
        features: Tensor = self.neck(self.trunk.stages(self.trunk.patch_embed(images)))
        return features


class MobileSamSegmenter(SamSegmenter):
    """MobileSAM; all but the image encoder is as in `SamSegmenter`."""

    @staticmethod
    def build(name: str) -> Sam:
        """Return the model with random weights."""
        return Sam(
            TinyVitEncoder(),
            PromptEncoder(_WIDTH, (_CELLS, _CELLS), (_SIDE, _SIDE), mask_in_chans=16),
            MaskDecoder(transformer_dim=_WIDTH, transformer=TwoWayTransformer(2, _WIDTH, num_heads=8, mlp_dim=2048)),
        )

    @staticmethod
    def weights_of(checkpoint: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the weights of the official checkpoint under the names that the model has here."""
        return {_name(name): weights for name, weights in checkpoint.items()}

    @staticmethod
    def plain_encode(encoder: nn.Module, images: Tensor) -> Tensor:
        """Return what the encoder returns."""
        features: Tensor = encoder(images)
        return features


def _name(official: str) -> str:
    part, _, rest = official.partition(".")
    prefix = next((prefix for prefix in _PREFIXES if part == "image_encoder" and rest.startswith(prefix)), None)
    if prefix is None:
        return official
    rest = _PREFIXES[prefix] + rest.removeprefix(prefix)
    return f"{part}.{re.sub(r'[.]c[.]weight$', '.conv.weight', rest)}"
