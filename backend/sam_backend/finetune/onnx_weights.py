"""The weights of `nano` out of its two ONNX files: what ships can be looked into, trained on and used in PyTorch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx
import torch
from onnx import numpy_helper
from torch import Tensor

from sam_backend.errors import WeightsError
from sam_backend.segmenters.nano import architecture

_PARTS = {"encoder": "image_encoder", "prompts": "prompt_encoder", "decoder": "mask_decoder"}
"""Names of the exported modules, and what they are called in the model."""


def nano_weights(folder: Path) -> dict[str, Tensor]:
    """Return the weights of `nano` (the state of `build_nano()`) out of its two ONNX files.

    The exporter keeps the names of most weights. It transposes those of linear layers and reshapes those of layer
    norms, and names them by number; but the nodes that use them carry their module's name. The constants that are left
    are told by their shapes.

    Raises
    ------
    WeightsError
        If a file cannot be read or lacks a weight.
    """
    wanted: dict[str, Tensor] = architecture.build_nano().state_dict()
    found: dict[str, Tensor] = {}
    for file in ("encoder.onnx", "decoder.onnx"):
        try:
            graph = onnx.load(str(folder / file)).graph
        except Exception as error:
            raise WeightsError(f"{folder / file} is no ONNX model ({error}); name the folder of a training.") from error
        constants = {each.name: torch.from_numpy(numpy_helper.to_array(each).copy()) for each in graph.initializer}
        users = {name: node for node in graph.node for name in node.input if name in constants}
        for name, values in constants.items():
            found |= _named(name, values, users[name], wanted)
    missing = [name for name in wanted if name not in found]
    if missing:
        raise WeightsError(
            f"{folder} does not hold nano as this version exports it: {missing[0]} is not there. Train it again."
        )
    return {name: found[name] for name in wanted}


def _named(name: str, values: Tensor, user: Any, wanted: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights that a constant of the graph holds, by their names in the module."""
    kept = {f"{_PARTS[part]}.{rest}" for part, dot, rest in [name.partition(".")] if part in _PARTS} & wanted.keys()
    if kept:
        return {kept.pop(): values}
    kind = {"MatMul": "weight", "Mul": "weight", "Add": "bias"}.get(user.op_type, "")
    module = _module(user.name)
    own = next((key for part in _PARTS.values() if (key := f"{part}.{module}.{kind}") in wanted), None)
    if own is not None:
        return {own: values.T.contiguous() if user.op_type == "MatMul" else values.flatten()}
    width = architecture.WIDTH
    if values.shape == (1, width, 1, 1):
        return {"prompt_encoder.no_mask_embed.weight": values.reshape(1, width)}
    if values.shape == (1, 5, width):
        return {"mask_decoder.iou_token.weight": values[0, :1], "mask_decoder.mask_tokens.weight": values[0, 1:]}
    return {}


def _module(node: str) -> str:
    """Return the module that a node is of: `mask_downscaling.1` of `/mask_downscaling/mask_downscaling.1/Mul`."""
    scopes = node.strip("/").split("/")[:-1]
    kept = [scope for scope, inner in zip(scopes, [*scopes, ""][1:], strict=True) if not inner.startswith(f"{scope}.")]
    return ".".join(scope for scope in kept if scope not in _PARTS)
