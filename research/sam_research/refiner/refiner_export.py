"""Exports the refiner to the two ONNX files that serving runs: the backbone once a window, the head once a click."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from sam_backend.files import write_whole
from sam_backend.segmenters.refiner.architecture import RefinerNet
from sam_backend.segmenters.refiner.guidance import MAPS, WINDOW
from sam_backend.segmenters.refiner.refiner import BACKBONE, HEAD

_OPSET = 18
_LEAST_VALUES = 256
_MEAN, _SPREAD = 127.0, 128.0


class _Backbone(nn.Module):
    """uint8 pixels (1, S, S, 3) -> the features of the head."""

    def __init__(self, model: RefinerNet) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.model.features(_normalised(pixels)))


class _Head(nn.Module):
    """Pixels, maps (1, MAPS, S, S) and features -> logits (1, S, S) and the logit of the predicted IoU (1,)."""

    def __init__(self, model: RefinerNet) -> None:
        super().__init__()
        self.head = model.head

    def forward(self, pixels: Tensor, maps: Tensor, *features: Tensor) -> tuple[Tensor, Tensor]:
        answer: tuple[Tensor, Tensor] = self.head(_normalised(pixels), features, maps)
        return answer


def export_refiner(weights: dict[str, Tensor], folder: Path) -> None:
    """Write both files into a folder, each whole or not at all; the weights in them are float16.

    Parameters
    ----------
    weights : dict of Tensor, the state of `RefinerNet()`, on the CPU.
    folder : Path, made where it is missing.
    """
    model = RefinerNet()
    model.load_state_dict(weights)
    model.eval()
    folder.mkdir(parents=True, exist_ok=True)
    pixels, maps = torch.zeros(1, WINDOW, WINDOW, 3, dtype=torch.uint8), torch.zeros(1, MAPS, WINDOW, WINDOW)
    with torch.no_grad():
        features = model.features(_normalised(pixels))
    names = [f"features{level}" for level in range(len(features))]
    _write(_Backbone(model), (pixels,), folder / BACKBONE, ["pixels"], names)
    _write(_Head(model), (pixels, maps, *features), folder / HEAD, ["pixels", "maps", *names], ["logits", "quality"])


def _normalised(pixels: Tensor) -> Tensor:
    return (pixels.permute(0, 3, 1, 2).float() - _MEAN) / _SPREAD


def _write(module: nn.Module, example: tuple[Any, ...], path: Path, inputs: list[str], outputs: list[str]) -> None:
    part = path.with_name(f"{path.name}.float32")
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module.eval(),
            example,
            str(part),
            input_names=inputs,
            output_names=outputs,
            opset_version=_OPSET,
            dynamo=False,
        )
    model = onnx.load(str(part))
    part.unlink()
    _store_as_float16(model.graph)
    write_whole(path, model.SerializeToString(), private=False)


def _store_as_float16(graph: onnx.GraphProto) -> None:
    """Store large weights as float16 with a cast before their use, which onnxruntime computes once, when it loads."""
    casts = []
    for weight in graph.initializer:
        values = numpy_helper.to_array(weight)
        if weight.data_type != TensorProto.FLOAT or values.size < _LEAST_VALUES:
            continue
        name, stored = weight.name, f"{weight.name}.float16"
        weight.CopyFrom(numpy_helper.from_array(values.astype("float16"), stored))
        casts.append(helper.make_node("Cast", [stored], [name], to=TensorProto.FLOAT))
    for cast in reversed(casts):
        graph.node.insert(0, cast)
