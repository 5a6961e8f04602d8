"""Exports the refiner to the two ONNX files that serving runs: the backbone once a window, the head once a click.

Beside them stand the weights of the head, from which a project's own head is tuned.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from sam_backend.errors import WeightsError
from sam_backend.files import write_whole
from sam_backend.segmenters.refiner.architecture import Head, RefinerNet, WindowBackbone, normalised
from sam_backend.segmenters.refiner.guidance import MAPS, WINDOW
from sam_backend.segmenters.refiner.refiner import BACKBONE, HEAD, WEIGHTS

_OPSET = 18
_LEAST_VALUES = 256


class _Backbone(nn.Module):
    """uint8 pixels (1, S, S, 3) -> the features of the head."""

    def __init__(self, model: RefinerNet) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.model.features(normalised(pixels)))


class _Head(nn.Module):
    """Pixels, maps (1, MAPS, S, S) and features -> logits (1, S, S) and the logit of the predicted IoU (1,)."""

    def __init__(self, head: Head) -> None:
        super().__init__()
        self.head = head

    def forward(self, pixels: Tensor, maps: Tensor, *features: Tensor) -> tuple[Tensor, Tensor]:
        answer: tuple[Tensor, Tensor] = self.head(normalised(pixels), features, maps)
        return answer


def export_refiner(weights: Mapping[str, Tensor], folder: Path) -> None:
    """Write all files into a folder, each whole or not at all; the weights in them are float16.

    Parameters
    ----------
    weights : mapping of Tensor, the state of `RefinerNet()`, on the CPU.
    folder : Path, made where it is missing.
    """
    model = RefinerNet()
    model.load_state_dict(dict(weights))
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"features{level}" for level in range(len(model.head.lateral))]
    _write(_Backbone(model), (_no_pixels(),), folder / BACKBONE, ["pixels"], names)
    export_head(model.head, folder)


def export_head(head: Head, folder: Path) -> None:
    """Write the head and its weights into an existing folder, each file whole or not at all.

    Its part that makes features of the backbone's maps is in the backbone's file and stays as it is.
    """
    maps = torch.zeros(1, MAPS, WINDOW, WINDOW)
    with torch.no_grad():
        features = head.features(WindowBackbone()(normalised(_no_pixels())))
    names = [f"features{level}" for level in range(len(features))]
    inputs = ["pixels", "maps", *names]
    _write(_Head(head), (_no_pixels(), maps, *features), folder / HEAD, inputs, ["logits", "quality"])
    stored = {name: value.detach().contiguous() for name, value in tuned_weights(head).items()}
    half = {name: value.half() if value.numel() >= _LEAST_VALUES else value for name, value in stored.items()}
    write_whole(folder / WEIGHTS, save(half), private=False)


def tuned_weights(head: Head) -> dict[str, nn.Parameter]:
    """Return the weights of a head, by name, that the head's own file holds."""
    return {name: value for name, value in head.named_parameters() if not name.startswith("lateral.")}


def load_head(folder: Path) -> Head:
    """Return the head of a refiner's folder; the features of its windows come from the backbone's file beside it.

    Raises
    ------
    WeightsError
        If the folder does not hold the weights of this architecture.
    """
    path, head = folder / WEIGHTS, Head()
    try:
        weights = load_file(path)
        own = tuned_weights(head)
        if weights.keys() != own.keys():
            raise WeightsError(f"{path} is of another architecture; install sam-inspect again.")
        with torch.no_grad():
            for name, value in own.items():
                value.copy_(weights[name])
    except (OSError, RuntimeError, SafetensorError) as error:
        reason = str(error).partition("\n")[0]
        raise WeightsError(f"{path} does not hold the weights of a refiner ({reason}).") from error
    return head


def _no_pixels() -> Tensor:
    return torch.zeros(1, WINDOW, WINDOW, 3, dtype=torch.uint8)


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
