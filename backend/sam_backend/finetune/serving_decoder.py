"""The decoder of `nano` in the form that serves: the same numbers as `architecture.py`, in a third of the time.

What makes the difference:

- The image stays (cells, channels) throughout, so that nothing is transposed.
- A product of a few tokens with 4096 cells is made smaller by its order: q (W x) is (W'q) x, so the cells are never
  projected to keys, values and queries, nor split into heads.
- The finer maps keep the order in which a cell holds its parts, so that nothing is moved from channels to space.
- The logits are computed at every second pixel, which is all that the predicted IoU depends on. `Outline` computes
  them at every pixel, for the mask that is returned and inside its box.
"""

from __future__ import annotations

from typing import Any

import torch
from segment_anything.modeling.common import LayerNorm2d
from segment_anything.modeling.transformer import Attention
from torch import Tensor, nn
from torch.nn import functional

from sam_backend.segmenters.nano.architecture import FINE, FINEST, STRIDE, WIDTH, decidedness


class Decoder(nn.Module):
    """Embedding and prompts -> what the masks are made of.

    Labels are SAM's: 1 positive, 0 negative, 2 and 3 the corners of a box, -1 the padding point that SAM adds where
    there is no box.
    """

    position: Tensor
    up4: Tensor
    up2: Tensor
    taps: Tensor

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.prompts, self.decoder = model.prompt_encoder, model.mask_decoder
        position = model.prompt_encoder.get_dense_pe().detach()
        self.register_buffer("position", position.flatten(2).transpose(1, 2).contiguous())
        self.size = model.image_encoder.img_size
        up4, up2 = (up.weight.detach().permute(0, 2, 3, 1) for up in (self.decoder.up4, self.decoder.up2))
        self.register_buffer("up4", up4.reshape(WIDTH, 4 * FINE).T.contiguous())
        self.register_buffer("up2", up2.reshape(FINE, 4 * FINEST).T.contiguous())
        self.register_buffer("taps", _taps(self.decoder.mix2))

    def forward(
        self,
        base: Tensor,
        fine: Tensor,
        finest: Tensor,
        coords: Tensor,
        labels: Tensor,
        logits: Tensor,
        has_logits: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the logits at every second pixel (B, 4, h, w), the predicted IoU (B, 4), the maps and the weights."""
        sparse = self._sparse(coords, labels)
        dense = self._dense(logits, has_logits) + self.prompts.cells(coords, labels).flatten(1, 2)
        hidden, cells = self._transformer(base + dense, sparse)
        maps = self._maps(cells, fine, finest)
        tokens = hidden[:, 1 : 1 + self.decoder.num_mask_tokens]
        weights = torch.stack([mlp(tokens[:, i]) for i, mlp in enumerate(self.decoder.output_hypernetworks_mlps)], 1)
        masks = self._low_masks(maps, weights)
        about = torch.cat([hidden[:, :1].expand(-1, tokens.shape[1], -1), tokens, decidedness(masks)], 2)
        return masks, torch.sigmoid(self.decoder.iou_head(about)).squeeze(2), maps, weights

    def _sparse(self, coords: Tensor, labels: Tensor) -> Tensor:
        prompts = self.prompts
        sparse: Tensor = prompts.pe_layer._pe_encoding((coords + 0.5) / self.size)
        label = labels[..., None]
        sparse = sparse * (label != -1) + prompts.not_a_point_embed.weight * (label == -1)
        for index, point_embedding in enumerate(prompts.point_embeddings):
            sparse = sparse + point_embedding.weight * (label == index)
        output_tokens = torch.cat([self.decoder.iou_token.weight, self.decoder.mask_tokens.weight], 0)
        return torch.cat([output_tokens[None].expand(coords.shape[0], -1, -1), sparse], 1)

    def _dense(self, logits: Tensor, has_logits: Tensor) -> Tensor:
        """Return what the last logits say of each cell, (B, N, C); (1, 1, C) if there are none."""
        downscaling = self.prompts.mask_downscaling
        weights = [parameter.detach() for parameter in downscaling.parameters()]
        said: Tensor = _last_logits(logits, has_logits, weights, self.prompts.no_mask_embed.weight[None])
        return said

    def _transformer(self, cells: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
        transformer, tokens = self.decoder.transformer, points
        for layer in transformer.layers:
            if layer.skip_first_layer_pe:
                tokens = layer.self_attn(tokens, tokens, tokens)
            else:
                placed = tokens + points
                tokens = tokens + layer.self_attn(placed, placed, tokens)
            tokens = layer.norm1(tokens)
            placed_cells = cells + self.position
            tokens = layer.norm2(
                tokens + tokens_to_cells(layer.cross_attn_token_to_image, tokens + points, placed_cells, cells)
            )
            tokens = layer.norm3(tokens + layer.mlp(tokens))
            asked = cells_to_tokens(layer.cross_attn_image_to_token, placed_cells, tokens + points, tokens)
            cells = layer.norm4(cells + asked)
        final = transformer.final_attn_token_to_image
        tokens = tokens + tokens_to_cells(final, tokens + points, cells + self.position, cells)
        return transformer.norm_final_attn(tokens), cells

    def _maps(self, cells: Tensor, fine: Tensor, finest: Tensor) -> Tensor:
        """Return the maps (B, 4hw, 48) of h x w cells: each row holds the four pixels of a quarter of a cell."""
        side, decoder = self.size // STRIDE, self.decoder
        quarters = functional.linear(cells.reshape(-1, WIDTH), self.up4, decoder.up4.bias.repeat(4))
        quarters = quarters.reshape(-1, side, side, 2, 2, FINE).permute(0, 1, 3, 2, 4, 5)
        quarters = quarters.reshape(-1, 4 * side * side, FINE) + fine
        quarters = functional.relu(_norm(decoder.norm4, quarters))
        maps = functional.linear(quarters.reshape(-1, FINE), self.up2, decoder.up2.bias.repeat(4))
        return functional.relu(maps.reshape(-1, 4 * side * side, 4 * FINEST) + finest)

    def _low_masks(self, maps: Tensor, weights: Tensor) -> Tensor:
        """Return the logits (B, 4, 2h, 2w) at the first pixel of each four."""
        side = 2 * (self.size // STRIDE)
        by_place = functional.linear(maps.reshape(-1, 4 * FINEST), self.taps).reshape(-1, side, side, 4 * FINEST)
        here, beside, above, across = torch.split(by_place, FINEST, 3)
        mixed = here + functional.pad(beside[:, :, :-1], (0, 0, 1, 0))
        mixed = mixed + functional.pad(above[:, :-1], (0, 0, 0, 0, 1, 0))
        mixed = mixed + functional.pad(across[:, :-1, :-1], (0, 0, 1, 0, 1, 0))
        mixed = functional.relu(mixed.flatten(1, 2) + self.decoder.mix2.bias)
        pixels = maps[..., :FINEST] + mixed
        return (weights @ pixels.transpose(1, 2)).reshape(-1, weights.shape[1], side, side)


def _halved(x: Tensor, weight: Tensor, bias: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """Return a map of half the size: convolved, normalised, activated."""
    x = functional.conv2d(x, weight, bias, stride=2).permute(0, 2, 3, 1)
    return functional.gelu(functional.layer_norm(x, scale.shape, scale, shift, 1e-6)).permute(0, 3, 1, 2)


@torch.jit.script_if_tracing
def _last_logits(logits: Tensor, has_logits: Tensor, weights: list[Tensor], nothing: Tensor) -> Tensor:
    """Return `mask_downscaling` of the logits, by its weights, where there are any; its export branches."""
    cells = nothing
    if bool(has_logits.max() > 0):
        given = has_logits[:, None, None]
        w1, b1, s1, t1, w2, b2, s2, t2, w3, b3 = weights
        x = _halved(_halved(logits, w1, b1, s1, t1), w2, b2, s2, t2)
        x = functional.conv2d(x, w3, b3).flatten(2).transpose(1, 2)
        cells = x * given + nothing * (1 - given)
    return cells


class Outline(nn.Module):
    """A part of the maps (h, w, 48) and the weights (12,) of a mask -> its logits (2h, 2w) at every pixel."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.mix = model.mask_decoder.mix2

    def forward(self, maps: Tensor, weights: Tensor) -> Tensor:
        """Return the logits; those at the edges are right only at the edge of the image."""
        rows, columns, _ = maps.shape
        pixels = maps.reshape(rows, columns, 2, 2, FINEST).permute(4, 0, 2, 1, 3)
        pixels = pixels.reshape(1, FINEST, 2 * rows, 2 * columns)
        pixels = pixels + functional.relu(self.mix(pixels))
        return (weights[None] @ pixels.reshape(FINEST, -1)).reshape(2 * rows, 2 * columns)


def tokens_to_cells(attention: Attention, queries: Tensor, placed: Tensor, cells: Tensor) -> Tensor:
    """Return what `attention(queries, placed, cells)` does, with queries (B, T, C) and cells (B, N, C)."""
    heads, (count, tokens, channels) = attention.num_heads, queries.shape
    width = attention.internal_dim // heads
    query = attention.q_proj(queries).reshape(count, tokens, heads, width).transpose(1, 2) / width**0.5
    # The keys' bias adds the same to all scores of a query.
    query = query @ attention.k_proj.weight.reshape(heads, width, channels)
    scores = torch.softmax(query.reshape(count, heads * tokens, channels) @ placed.transpose(1, 2), 2)
    seen = (scores @ cells).reshape(count, heads, tokens, channels)
    values = seen @ attention.v_proj.weight.reshape(heads, width, channels).transpose(1, 2)
    values = values.transpose(1, 2).reshape(count, tokens, heads * width) + attention.v_proj.bias
    out: Tensor = attention.out_proj(values)
    return out


def cells_to_tokens(attention: Attention, placed: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Return what `attention(placed, keys, values)` does, with cells (B, N, C), and keys and values (B, T, C)."""
    heads, (count, tokens, channels) = attention.num_heads, keys.shape
    width = attention.internal_dim // heads
    key = attention.k_proj(keys).reshape(count, tokens, heads, width).transpose(1, 2) / width**0.5
    asked = (key @ attention.q_proj.weight.reshape(heads, width, channels)).reshape(count, heads * tokens, channels)
    bias = (key @ attention.q_proj.bias.reshape(heads, width, 1)).reshape(count, 1, heads * tokens)
    scores = (placed @ asked.transpose(1, 2) + bias).reshape(count, -1, heads, tokens)
    scores = torch.softmax(scores, 3).reshape(count, -1, heads * tokens)
    value = attention.v_proj(values).reshape(count, tokens, heads, width).transpose(1, 2)
    value = value @ attention.out_proj.weight.reshape(channels, heads, width).permute(1, 2, 0)
    # The scores of each head sum to one.
    value = value + attention.out_proj.bias / heads
    answers: Tensor = scores @ value.reshape(count, heads * tokens, channels)
    return answers


def _taps(mix: nn.Conv2d) -> Tensor:
    """Return the kernel (48, 48) of a convolution at the first pixel of each four, from the maps of four fours.

    The columns are for the four of the pixel itself, those to its left, those above, and those above to the left.
    """
    kernel = mix.weight.detach().permute(2, 3, 1, 0)
    taps = torch.zeros(2, 2, FINEST, 2, 2, FINEST)
    for row in range(3):
        for column in range(3):
            # The pixel above the first one is among the last ones of the four above.
            taps[int(row != 1), int(column != 1), :, int(row == 0), int(column == 0)] = kernel[row, column]
    return taps.reshape(4 * FINEST, 4 * FINEST).T.contiguous()


def _norm(norm: LayerNorm2d, values: Tensor) -> Tensor:
    """Return values (..., C) that `norm` normalised over their channels."""
    return functional.layer_norm(values, norm.weight.shape, norm.weight, norm.bias, norm.eps)
