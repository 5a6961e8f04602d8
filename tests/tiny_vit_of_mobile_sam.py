"""MobileSAM's image encoder, written from its architecture: the names and shapes of its weights, and what it computes.

A yardstick for the encoder that is built from `timm`; it shares no code with it.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

_WIDTHS = (64, 128, 160, 320)
_DEPTHS = (2, 2, 6, 2)
_HEADS = (2, 4, 5, 10)
_WINDOWS = (7, 7, 14, 7)
_STRIDES = (2, 2, 1)
"""Of the steps between two stages; the last one keeps the size."""

State = dict[str, Tensor]
Shapes = dict[str, tuple[int, ...]]


def official_shapes() -> Shapes:
    """Return the names and shapes of the encoder's weights in the official checkpoint, without `image_encoder.`."""
    shapes: Shapes = {}
    shapes |= _normed("patch_embed.seq.0", 32, 3, 3) | _normed("patch_embed.seq.2", 64, 32, 3)
    for stage, (width, depth) in enumerate(zip(_WIDTHS, _DEPTHS, strict=True)):
        for block in range(depth):
            name = f"layers.{stage}.blocks.{block}"
            shapes |= _window_block(name, stage) if stage else _inverted_block(name, width)
        if stage < 3:
            name, after = f"layers.{stage}.downsample", _WIDTHS[stage + 1]
            shapes |= _normed(f"{name}.conv1", after, width, 1) | _normed(f"{name}.conv2", after, 1, 3)
            shapes |= _normed(f"{name}.conv3", after, after, 1)
    shapes |= _affine("norm_head", 320) | {"head.weight": (1000, 320), "head.bias": (1000,)}
    shapes |= {"neck.0.weight": (256, 320, 1, 1), "neck.2.weight": (256, 256, 3, 3)}
    return shapes | _affine("neck.1", 256) | _affine("neck.3", 256)


def official_forward(state: State, images: Tensor) -> Tensor:
    """Return the features (B, 256, 64, 64) of normalised, padded images (B, 3, 1024, 1024)."""
    cells = functional.gelu(_convolved(state, "patch_embed.seq.0", images, 2))
    cells = _convolved(state, "patch_embed.seq.2", cells, 2)
    for stage, depth in enumerate(_DEPTHS):
        for block in range(depth):
            name = f"layers.{stage}.blocks.{block}"
            cells = _windows(state, name, cells, stage) if stage else _inverted(state, name, cells)
        if stage < 3:
            name = f"layers.{stage}.downsample"
            cells = functional.gelu(_convolved(state, f"{name}.conv1", cells))
            cells = functional.gelu(_convolved(state, f"{name}.conv2", cells, _STRIDES[stage]))
            cells = _convolved(state, f"{name}.conv3", cells)
    cells = _norm_of_channels(state, "neck.1", functional.conv2d(cells, state["neck.0.weight"]))
    return _norm_of_channels(state, "neck.3", functional.conv2d(cells, state["neck.2.weight"], padding=1))


def _affine(name: str, width: int) -> Shapes:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def _normed(name: str, out: int, into: int, kernel: int) -> Shapes:
    statistics = {f"{name}.bn.running_mean": (out,), f"{name}.bn.running_var": (out,)}
    counted: Shapes = {f"{name}.bn.num_batches_tracked": ()}
    return {f"{name}.c.weight": (out, into, kernel, kernel)} | _affine(f"{name}.bn", out) | statistics | counted


def _inverted_block(name: str, width: int) -> Shapes:
    wide = 4 * width
    ends = _normed(f"{name}.conv1", wide, width, 1) | _normed(f"{name}.conv3", width, wide, 1)
    return ends | _normed(f"{name}.conv2", wide, 1, 3)


def _window_block(name: str, stage: int) -> Shapes:
    width, attention, mlp = _WIDTHS[stage], f"{name}.attn", f"{name}.mlp"
    shapes = _affine(f"{attention}.norm", width) | _affine(f"{mlp}.norm", width)
    shapes |= _normed(f"{name}.local_conv", width, 1, 3)
    layers = ((f"{attention}.qkv", 3 * width, width), (f"{attention}.proj", width, width))
    for layer, out, into in (*layers, (f"{mlp}.fc1", 4 * width, width), (f"{mlp}.fc2", width, 4 * width)):
        shapes |= {f"{layer}.weight": (out, into), f"{layer}.bias": (out,)}
    return shapes | {f"{attention}.attention_biases": (_HEADS[stage], _WINDOWS[stage] ** 2)}


def _convolved(state: State, name: str, cells: Tensor, stride: int = 1) -> Tensor:
    """Convolve, then normalise with the statistics of the training (eps 1e-5)."""
    weight = state[f"{name}.c.weight"]
    groups = cells.shape[1] // weight.shape[1]
    cells = functional.conv2d(cells, weight, stride=stride, padding=weight.shape[-1] // 2, groups=groups)
    part = {key: state[f"{name}.bn.{key}"][:, None, None] for key in ("running_mean", "running_var", "weight", "bias")}
    return (cells - part["running_mean"]) / (part["running_var"] + 1e-5).sqrt() * part["weight"] + part["bias"]


def _inverted(state: State, name: str, cells: Tensor) -> Tensor:
    wide = functional.gelu(_convolved(state, f"{name}.conv1", cells))
    wide = functional.gelu(_convolved(state, f"{name}.conv2", wide))
    return functional.gelu(cells + _convolved(state, f"{name}.conv3", wide))


def _windows(state: State, name: str, cells: Tensor, stage: int) -> Tensor:
    side, (count, width, rows, columns) = _WINDOWS[stage], cells.shape
    # Windows at the right and lower edge are filled up with zeros, which are cells like the others.
    down, across = math.ceil(rows / side) * side, math.ceil(columns / side) * side
    padded = functional.pad(cells, (0, across - columns, 0, down - rows))
    mixed = torch.empty_like(padded)
    for top in range(0, down, side):
        for left in range(0, across, side):
            place = (..., slice(top, top + side), slice(left, left + side))
            tokens = _attended(state, f"{name}.attn", padded[place].flatten(2).transpose(1, 2), stage)
            mixed[place] = tokens.transpose(1, 2).reshape(count, width, side, side)
    cells = _convolved(state, f"{name}.local_conv", cells + mixed[..., :rows, :columns])
    tokens = _norm(state, f"{name}.mlp.norm", cells.flatten(2).transpose(1, 2))
    tokens = _linear(state, f"{name}.mlp.fc2", functional.gelu(_linear(state, f"{name}.mlp.fc1", tokens)))
    return cells + tokens.transpose(1, 2).reshape(cells.shape)


def _attended(state: State, name: str, tokens: Tensor, stage: int) -> Tensor:
    side, heads = _WINDOWS[stage], _HEADS[stage]
    size = tokens.shape[-1] // heads
    projected = _linear(state, f"{name}.qkv", _norm(state, f"{name}.norm", tokens))
    # Each head has its queries, its keys and its values side by side.
    by_head = projected.reshape(*tokens.shape[:2], heads, 3 * size).transpose(1, 2)
    queries, keys, values = by_head[..., :size], by_head[..., size : 2 * size], by_head[..., 2 * size :]
    rows, columns = torch.arange(side * side) // side, torch.arange(side * side) % side
    distance = (rows[:, None] - rows).abs() * side + (columns[:, None] - columns).abs()
    scores = queries @ keys.transpose(2, 3) / math.sqrt(size) + state[f"{name}.attention_biases"][:, distance]
    mixed = (scores.softmax(-1) @ values).transpose(1, 2).reshape(tokens.shape)
    return _linear(state, f"{name}.proj", mixed)


def _linear(state: State, name: str, tokens: Tensor) -> Tensor:
    return functional.linear(tokens, state[f"{name}.weight"], state[f"{name}.bias"])


def _norm(state: State, name: str, tokens: Tensor) -> Tensor:
    return functional.layer_norm(tokens, tokens.shape[-1:], state[f"{name}.weight"], state[f"{name}.bias"], 1e-5)


def _norm_of_channels(state: State, name: str, cells: Tensor) -> Tensor:
    tokens = cells.movedim(1, -1)
    normed = functional.layer_norm(tokens, tokens.shape[-1:], state[f"{name}.weight"], state[f"{name}.bias"], 1e-6)
    return normed.movedim(-1, 1)
