"""The PyTorch form of `nano`, accepted by `segment_anything.SamPredictor`; for training and export, not for serving.

The image encoder is EfficientNet-Lite0 with a feature pyramid. Its output packs three maps into the channels of one
embedding at stride 8, which fits SAM's own interfaces: 96 channels at stride 8, 24 at stride 4 and 12 at
stride 2, the finer ones by space-to-depth. The prompt encoder and the two-way transformer are SAM's. In addition to
SAM's point tokens, the prompt encoder draws the clicks and the box as maps into the dense prompt, from which a small
model learns much faster. The predicted IoU also depends on how decided the mask's own probabilities are.
"""

from __future__ import annotations

import torch
from segment_anything.modeling import MaskDecoder, PromptEncoder, Sam, TwoWayTransformer
from segment_anything.modeling.common import LayerNorm2d
from segment_anything.modeling.mask_decoder import MLP
from torch import Tensor, nn
from torch.nn import functional

IMAGE_SIZE = 512
STRIDE = 8
WIDTH = 96
FINE = 24
FINEST = 12
EMBEDDING_CHANNELS = WIDTH + 4 * FINE + 16 * FINEST

# kernel, stride, expansion, channels out: the sixteen blocks of EfficientNet-Lite0 (arXiv 1905.11946, without
# squeeze-and-excitation and with ReLU6)
_BLOCKS = (
    (3, 1, 1, 16),
    (3, 2, 6, 24),
    (3, 1, 6, 24),
    (5, 2, 6, 40),
    (5, 1, 6, 40),
    (3, 2, 6, 80),
    (3, 1, 6, 80),
    (3, 1, 6, 80),
    (5, 1, 6, 112),
    (5, 1, 6, 112),
    (5, 1, 6, 112),
    (5, 2, 6, 192),
    (5, 1, 6, 192),
    (5, 1, 6, 192),
    (5, 1, 6, 192),
    (3, 1, 6, 320),
)
_TAPS = (0, 2, 4, 10, 15)  # the last block at stride 2, 4, 8, 16, 32


class SamePadded(nn.Conv2d):
    """A convolution with TensorFlow's padding, as the ImageNet weights were trained."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__(inputs, outputs, kernel, stride, padding=0 if stride == 2 else kernel // 2, groups=groups)
        # For even sizes and stride 2 the odd pixel of padding is at the right and the bottom.
        self.uneven = ((kernel - 2) // 2, (kernel - 1) // 2) if stride == 2 else None

    def forward(self, x: Tensor) -> Tensor:
        """Return the convolved map, (B, C, ceil(H / stride), ceil(W / stride))."""
        if self.uneven:
            before, after = self.uneven
            x = functional.pad(x, (before, after, before, after))
        if self.groups == 1 or (self.kernel_size[0] == 3 and self.stride[0] == 1):
            return super().forward(x)
        # On a CPU, the gradients of these depth-wise convolutions take two to six times longer in bfloat16.
        with torch.autocast(x.device.type, enabled=False):
            return super().forward(x.float())


class Block(nn.Module):
    """Inverted residual: expand, depth-wise, project."""

    def __init__(self, inputs: int, kernel: int, stride: int, expansion: int, outputs: int) -> None:
        super().__init__()
        hidden = inputs * expansion
        self.expand = SamePadded(inputs, hidden, 1) if expansion > 1 else None
        self.depthwise = SamePadded(hidden, hidden, kernel, stride, groups=hidden)
        self.project = SamePadded(hidden, outputs, 1)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output."""
        y = functional.relu6(self.expand(x)) if self.expand is not None else x
        projected: Tensor = self.project(functional.relu6(self.depthwise(y)))
        return x + projected if self.residual else projected


class Backbone(nn.Module):
    """EfficientNet-Lite0 with its batch normalisation folded into the convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = SamePadded(3, 32, 3, 2)
        blocks, inputs = [], 32
        for kernel, stride, expansion, outputs in _BLOCKS:
            blocks.append(Block(inputs, kernel, stride, expansion, outputs))
            inputs = outputs
        self.blocks = nn.ModuleList(blocks)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return the maps at stride 2, 4, 8, 16 and 32 of a normalised image (B, 3, H, W)."""
        x = functional.relu6(self.stem(x))
        maps = []
        for index, block in enumerate(self.blocks):
            x = block(x)
            if index in _TAPS:
                maps.append(x)
        return maps


class ImageEncoder(nn.Module):
    """Backbone and feature pyramid: (B, 3, H, W) normalised -> (B, 384, H / 8, W / 8)."""

    def __init__(self) -> None:
        super().__init__()
        self.img_size = IMAGE_SIZE
        self.backbone = Backbone()
        self.lateral = nn.ModuleList([nn.Conv2d(channels, WIDTH, 1) for channels in (40, 112, 320)])
        self.mix16 = nn.Sequential(nn.Conv2d(WIDTH, WIDTH, 3, padding=1), nn.GELU())
        self.mix8 = nn.Sequential(nn.Conv2d(WIDTH, WIDTH, 3, padding=1), nn.GELU(), nn.Conv2d(WIDTH, WIDTH, 1))
        self.norm = LayerNorm2d(WIDTH)
        self.fine = nn.Conv2d(24, FINE, 3, padding=1)
        self.finest = nn.Conv2d(16, FINEST, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Return the packed embedding."""
        half, quarter, eighth, sixteenth, thirtysecond = self.backbone(x)
        coarse = functional.interpolate(self.lateral[2](thirtysecond), scale_factor=2.0, mode="bilinear")
        coarse = self.mix16(self.lateral[1](sixteenth) + coarse)
        coarse = functional.interpolate(coarse, scale_factor=2.0, mode="bilinear")
        base = self.norm(self.mix8(self.lateral[0](eighth) + coarse))
        fine = functional.pixel_unshuffle(self.fine(quarter), 2)
        finest = functional.pixel_unshuffle(self.finest(half), 4)
        return torch.cat([base, fine, finest], 1)


class MapPromptEncoder(PromptEncoder):
    """SAM's prompt encoder; the dense prompt also holds maps of the clicks and of the box."""

    _SIGMAS = (0.7, 2.5, 8.0)  # in cells of the embedding: exact position, neighbourhood, region

    def __init__(self, image_size: int = IMAGE_SIZE) -> None:
        cells = image_size // STRIDE
        super().__init__(WIDTH, (cells, cells), (image_size, image_size), mask_in_chans=16)
        self.map_embedding = nn.Sequential(nn.Linear(11, 48), nn.GELU(), nn.Linear(48, WIDTH))

    def resize(self, image_size: int) -> None:
        """Set the side of the square images in pixels; training varies it."""
        cells = image_size // STRIDE
        self.input_image_size = (image_size, image_size)
        self.image_embedding_size = (cells, cells)
        self.mask_input_size = (4 * cells, 4 * cells)

    def forward(
        self, points: tuple[Tensor, Tensor] | None, boxes: Tensor | None, masks: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Return sparse (B, N, 96) and dense (B, 96, h, w) prompts, as SAM's prompt encoder does."""
        sparse, dense = super().forward(points, boxes, masks)
        coords, labels = _as_points(points, boxes)
        if coords is not None and labels is not None:
            dense = dense + self.cells(coords, labels).permute(0, 3, 1, 2)
        return sparse, dense

    def cells(self, coords: Tensor, labels: Tensor) -> Tensor:
        """Return (B, h, w, 96) from coords (B, N, 2) xy in input pixels and labels: 1, 0, 2 and 3 (box corners)."""
        rows, columns = self.image_embedding_size
        x = torch.arange(columns, device=coords.device, dtype=torch.float32) + 0.5
        y = torch.arange(rows, device=coords.device, dtype=torch.float32) + 0.5
        cells = coords.float() / STRIDE
        distance = (cells[..., 0, None, None] - x[None, None, None, :]) ** 2 + (
            cells[..., 1, None, None] - y[None, None, :, None]
        ) ** 2
        channels = []
        for label in (1, 0):
            chosen = (labels == label)[..., None, None]
            channels += [(torch.exp(-distance / (2 * sigma**2)) * chosen).amax(1) for sigma in self._SIGMAS]
        first = (cells * (labels == 2)[..., None]).sum(1)
        last = (cells * (labels == 3)[..., None]).sum(1)
        has_box = (labels == 2).any(1).float()[:, None, None]
        flat = torch.zeros_like(distance[:, 0])
        sides = [
            flat + (x[None, None, :] - first[:, 0, None, None]),
            flat + (last[:, 0, None, None] - x[None, None, :]),
            flat + (y[None, :, None] - first[:, 1, None, None]),
            flat + (last[:, 1, None, None] - y[None, :, None]),
        ]
        inside = torch.minimum(torch.minimum(sides[0], sides[1]), torch.minimum(sides[2], sides[3]))
        channels += [torch.sigmoid(2 * inside) * has_box] + [torch.tanh(side / 4) * has_box for side in sides]
        embedded: Tensor = self.map_embedding(torch.stack(channels, -1))
        return embedded


def _as_points(points: tuple[Tensor, Tensor] | None, boxes: Tensor | None) -> tuple[Tensor | None, Tensor | None]:
    """Join points and the corners of boxes into one list of labelled points."""
    coords, labels = points if points is not None else (None, None)
    if boxes is None:
        return coords, labels
    corners = boxes.reshape(-1, 2, 2)
    corner_labels = torch.tensor([[2, 3]], device=corners.device).expand(len(corners), 2)
    if coords is None or labels is None:
        return corners, corner_labels
    return torch.cat([coords, corners], 1), torch.cat([labels, corner_labels], 1)


class FineMaskDecoder(MaskDecoder):
    """SAM's mask decoder, which also unpacks the finer maps and predicts the IoU from the tokens and the mask."""

    def __init__(self) -> None:
        transformer = TwoWayTransformer(depth=2, embedding_dim=WIDTH, num_heads=4, mlp_dim=256)
        super().__init__(transformer_dim=WIDTH, transformer=transformer)
        del self.output_upscaling, self.iou_prediction_head
        self.up4 = nn.ConvTranspose2d(WIDTH, FINE, 2, 2)
        self.norm4 = LayerNorm2d(FINE)
        self.up2 = nn.ConvTranspose2d(FINE, FINEST, 2, 2)
        self.mix2 = nn.Conv2d(FINEST, FINEST, 3, padding=1)
        self.iou_head = MLP(2 * WIDTH + 4, 128, 1, 3)

    def predict_masks(
        self,
        image_embeddings: Tensor,
        image_pe: Tensor,
        sparse_prompt_embeddings: Tensor,
        dense_prompt_embeddings: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Return mask logits (B, 4, H / 2, W / 2) and predicted IoU (B, 4).

        Embeddings of several images may be stacked; then the prompts are grouped by image, with equal numbers.
        """
        count = sparse_prompt_embeddings.shape[0]
        per_image = count // image_embeddings.shape[0]
        output_tokens = torch.cat([self.iou_token.weight, self.mask_tokens.weight], 0)
        tokens = torch.cat([output_tokens[None].expand(count, -1, -1), sparse_prompt_embeddings], 1)
        base, fine, finest = torch.split(image_embeddings, [WIDTH, 4 * FINE, 16 * FINEST], 1)
        source = torch.repeat_interleave(base, per_image, 0) + dense_prompt_embeddings
        position = torch.repeat_interleave(image_pe, count, 0)
        hidden, keys = self.transformer(source, position, tokens)
        _, channels, height, width = source.shape
        keys = keys.transpose(1, 2).reshape(count, channels, height, width)

        upscaled = self.up4(keys) + torch.repeat_interleave(functional.pixel_shuffle(fine, 2), per_image, 0)
        upscaled = functional.relu(self.norm4(upscaled))
        upscaled = self.up2(upscaled) + torch.repeat_interleave(functional.pixel_shuffle(finest, 4), per_image, 0)
        upscaled = functional.relu(upscaled)
        upscaled = upscaled + functional.relu(self.mix2(upscaled))
        mask_tokens = hidden[:, 1 : 1 + self.num_mask_tokens]
        weights = torch.stack([mlp(mask_tokens[:, i]) for i, mlp in enumerate(self.output_hypernetworks_mlps)], 1)
        masks = (weights @ upscaled.flatten(2)).reshape(count, -1, 4 * height, 4 * width)

        iou_token = hidden[:, :1].expand(-1, self.num_mask_tokens, -1)
        # As they are at every second pixel, which is enough.
        about = torch.cat([iou_token, mask_tokens, decidedness(masks.detach()[:, :, ::2, ::2])], 2)
        return masks, torch.sigmoid(self.iou_head(about)).squeeze(2)


def decidedness(logits: Tensor) -> Tensor:
    """Return (B, K, 4): the expected IoU, the stability of the border, the size, and the certainty of each mask."""
    probability = torch.sigmoid(logits.float())
    inside = (probability > 0.5).float()
    total = probability.sum((2, 3)) + 1.0
    area = inside.sum((2, 3)) + 1.0
    agreed = (probability * inside).sum((2, 3))
    expected_iou = agreed / (area + total - agreed)
    certain = (probability > 0.8).float().sum((2, 3)) / ((probability > 0.2).float().sum((2, 3)) + 1.0)
    fraction = area / (probability.shape[2] * probability.shape[3])
    return torch.stack([expected_iou, certain, torch.sqrt(fraction), (probability**2).sum((2, 3)) / total], 2)


def build_nano(image_size: int = IMAGE_SIZE) -> Sam:
    """Return an untrained `nano` as a `segment_anything.modeling.Sam`, its pixels normalised as (x - 127) / 128."""
    return Sam(
        ImageEncoder(),
        MapPromptEncoder(image_size),
        FineMaskDecoder(),
        pixel_mean=[127.0, 127.0, 127.0],
        pixel_std=[128.0, 128.0, 128.0],
    )
