"""The image encoder of an official SAM, computed in fewer passes over memory than its own code takes.

The result is the same up to rounding. `segment-anything` adds the relative positions to a map of all pairs of cells,
4096 x 4096 for each head, and pads its windows before the projections. Here the positions go through
`scaled_dot_product_attention`, and padding is projected nowhere, since its projection is the bias.
"""

from __future__ import annotations

import torch
from segment_anything.modeling import ImageEncoderViT
from segment_anything.modeling.image_encoder import Attention, Block, get_rel_pos, window_partition, window_unpartition
from torch import Tensor
from torch.nn import functional

_PAIRS = 1 << 22
"""Pairs of cells whose positions are computed at once on a CPU: 16 MiB stay in a processor's cache."""


def encode(encoder: ImageEncoderViT, images: Tensor) -> Tensor:
    """Return what the encoder returns.

    Parameters
    ----------
    encoder : ImageEncoderViT.
    images : (B, 3, S, S) float, normalised and padded, S the encoder's `img_size`.

    Returns
    -------
    Tensor
        (B, C, S / 16, S / 16).
    """
    cells = encoder.patch_embed(images)
    if encoder.pos_embed is not None:
        cells = cells + encoder.pos_embed
    for block in encoder.blocks:
        cells = cells + _attended(block, block.norm1(cells))
        cells = cells + block.mlp(block.norm2(cells))
    features: Tensor = encoder.neck(cells.permute(0, 3, 1, 2))
    return features


def _attended(block: Block, cells: Tensor) -> Tensor:
    """Return the output of the block's attention on (B, H, W, C), in windows where the block has them."""
    layer, side = block.attn, block.window_size
    projected = layer.qkv(cells)
    size = projected.shape[1:3]
    if side:
        down, right = (-length % side for length in size)
        if down or right:
            bias = projected.new_zeros(projected.shape[-1]) if layer.qkv.bias is None else layer.qkv.bias
            padded = bias.to(projected.dtype).repeat(len(cells), size[0] + down, size[1] + right, 1)
            padded[:, : size[0], : size[1]] = projected
            projected = padded
        windows, padded_size = window_partition(projected, side)
        mixed = window_unpartition(attention(layer, windows), side, padded_size, size)
    else:
        mixed = attention(layer, projected)
    attended: Tensor = layer.proj(mixed)
    return attended


def attention(layer: Attention, projected: Tensor) -> Tensor:
    """Return the attention before its last projection.

    Parameters
    ----------
    layer : Attention, the layer that the heads and the tables of relative positions are taken from.
    projected : (B, H, W, 3C), queries, keys and values.

    Returns
    -------
    Tensor
        (B, H, W, C).
    """
    count, height, width, _ = projected.shape
    # Each (B, heads, H * W, d).
    queries, keys, values = projected.reshape(count, height * width, 3, layer.num_heads, -1).permute(2, 0, 3, 1, 4)
    if not layer.use_rel_pos:
        mixed = functional.scaled_dot_product_attention(queries, keys, values)
        return mixed.transpose(1, 2).reshape(count, height, width, -1)
    grid = queries.reshape(*queries.shape[:2], height, width, -1)
    tables = (get_rel_pos(size, size, table) for size, table in ((height, layer.rel_pos_h), (width, layer.rel_pos_w)))
    by_row, by_column = (table.transpose(1, 2).to(grid.dtype) for table in tables)
    # (B, heads, H, W, H) and (B, heads, H, W, W): what a query adds for the row and for the column of each key.
    rows = grid @ by_row
    columns = (grid.transpose(2, 3) @ by_column).transpose(2, 3)
    mix = _in_parts if projected.device.type == "cpu" else _folded
    return mix(queries, keys, values, rows, columns).transpose(1, 2).reshape(count, height, width, -1)


def _in_parts(queries: Tensor, keys: Tensor, values: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Attend head by head, some rows of the grid at a time, so that the pairs stay in the processor's cache."""
    count, heads, height, width, _ = rows.shape
    step = max(1, _PAIRS // (count * width * height * width))
    mixed = []
    for head in range(heads):
        here = slice(head, head + 1)
        parts = []
        for top in range(0, height, step):
            bias = rows[:, here, top : top + step, :, :, None] + columns[:, here, top : top + step, :, None, :]
            asking = queries[:, here, top * width : (top + step) * width]
            mask = bias.flatten(4).flatten(2, 3)
            parts.append(
                functional.scaled_dot_product_attention(asking, keys[:, here], values[:, here], attn_mask=mask)
            )
        mixed.append(torch.cat(parts, 2))
    return torch.cat(mixed, 1)


def _folded(queries: Tensor, keys: Tensor, values: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Attend in one call without a map of all pairs: what is added is the product of longer queries and keys."""
    height, width = rows.shape[2:4]
    size = queries.shape[-1]
    row_of = torch.eye(height, dtype=keys.dtype, device=keys.device).repeat_interleave(width, 0)
    column_of = torch.eye(width, dtype=keys.dtype, device=keys.device).repeat(height, 1)
    place = torch.cat([row_of, column_of], 1).expand(*keys.shape[:2], -1, -1)
    longer = torch.cat([queries * size**-0.5, rows.flatten(2, 3), columns.flatten(2, 3)], -1)
    # Equal lengths of keys and values let the fused kernels take them.
    mixed = functional.scaled_dot_product_attention(
        longer, torch.cat([keys, place], -1), functional.pad(values, (0, height + width)), scale=1.0
    )
    return mixed[..., :size]
