"""The PyTorch form of the model that is tuned, with the weights that serve."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
import torch
from onnx import numpy_helper
from segment_anything import sam_model_registry
from torch import Tensor

from sam_backend.errors import WeightsError
from sam_backend.segmenters.nano import architecture, segmenter
from sam_backend.segmenters.registry import TUNED
from sam_backend.segmenters.weights import CHECKPOINTS, obtain_checkpoint

_PARTS = {"encoder": "image_encoder", "prompts": "prompt_encoder", "decoder": "mask_decoder"}
"""Names of the exported modules, and what they are called in the model."""


@dataclass(frozen=True, eq=False)
class Start:
    """A model to be tuned.

    Attributes
    ----------
    name : as users know it.
    model : a `segment_anything.modeling.Sam`.
    size : side in pixels of the square that the encoder takes.
    pieces : whether serving keeps only the clicked pieces of a mask.
    tuned : whether its weights are another tuning's already.
    """

    name: str
    model: Any
    size: int
    pieces: bool
    tuned: bool

    def digest(self) -> str:
        """Return eight hex digits that tell the weights apart, as they are now."""
        found = hashlib.sha256()
        for name, values in self.model.state_dict().items():
            found.update(name.encode() + values.contiguous().numpy().tobytes())
        return found.hexdigest()[:8]

    @property
    def padding(self) -> tuple[int, int, int]:
        """The colour (R, G, B) of what an image does not fill: about zero once normalised."""
        red, green, blue = (round(value) for value in self.model.pixel_mean.flatten().tolist())
        return red, green, blue


def load_start(name: str, checkpoint: Path | None = None) -> Start:
    """Return a model with the weights that serving would load.

    Parameters
    ----------
    name : `nano` or `sam:*`.
    checkpoint : folder of a tuned version or of a training; None for what ships or is published.

    Raises
    ------
    WeightsError
        If weights are missing or do not fit, or the model cannot be tuned.
    """
    if name == "nano":
        model = architecture.build_nano()
        model.load_state_dict(nano_weights(checkpoint or Path(segmenter.__file__).parent))
        return Start(name, model, architecture.IMAGE_SIZE, True, checkpoint is not None)
    if name not in CHECKPOINTS:
        tunable = ", ".join(["nano", *CHECKPOINTS])
        raise WeightsError(f"{name} cannot be tuned; choose one of {tunable}.")
    official = obtain_checkpoint(CHECKPOINTS[name])
    model = sam_model_registry[name.removeprefix("sam:")]()
    model.load_state_dict(torch.load(official, map_location="cpu", weights_only=True))
    if checkpoint:
        model.load_state_dict(torch.load(checkpoint / TUNED, map_location="cpu", weights_only=True), strict=False)
    return Start(name, model, model.image_encoder.img_size, False, checkpoint is not None)


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
