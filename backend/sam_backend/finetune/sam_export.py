"""Exports an official SAM from PyTorch to the ONNX files of an `onnx:<folder>`, and checks them against it."""

from __future__ import annotations

import hashlib
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
import torch
from segment_anything.modeling import Sam
from torch import Tensor, nn

from sam_backend.arrays import ImageArray
from sam_backend.errors import WeightsError
from sam_backend.files import whole_folder
from sam_backend.finetune.onnx_export import OPSET, write_onnx
from sam_backend.progress import ProgressCallback, no_progress
from sam_backend.segmenters import Prompt, Segmenter, sam_encoder
from sam_backend.segmenters.exported import DECODER, ENCODER, Check, Manifest, Precision, require_empty
from sam_backend.segmenters.onnx_sam import OnnxSam
from sam_backend.segmenters.sam import SamSegmenter
from sam_backend.segmenters.sam_decoder import SamDecoder

_LEAST_IOU = {Precision.FP32: 0.999, Precision.FP16: 0.98, Precision.INT8: 0.8}
"""The least mean IoU with the masks of the source; below it the export has failed."""

_SEED, _IMAGES, _CLICKS = 0, 2, 8

_LINEAR = ("MatMul", "Gemm")
"""What ONNX calls the product of a linear layer."""


class _Encoder(nn.Module):
    """Normalised, padded image (1, 3, S, S) -> features (1, C, S / 16, S / 16)."""

    def __init__(self, model: Sam) -> None:
        super().__init__()
        self.encoder = model.image_encoder

    def forward(self, image: Tensor) -> Tensor:
        return sam_encoder.encode(self.encoder, image)


def export_sam(
    segmenter: SamSegmenter, folder: Path, precision: Precision, progress: ProgressCallback = no_progress
) -> Manifest:
    """Write a SAM as ONNX with a manifest, all of it or nothing.

    Parameters
    ----------
    segmenter : SamSegmenter on the CPU.
    folder : Path that does not exist yet, or is empty.
    precision : Precision; INT8 keeps the weights of the encoder's linear layers in 8 bits, and all else as it is.
    progress : receives the steps.

    Raises
    ------
    BadRequestError
        If the folder holds something.
    WeightsError
        If the exported model does not give the masks of its source; nothing is written then.
    OSError
        If a file cannot be written.
    """
    model = segmenter.model
    steps = ["the encoder", "the decoder", "the check"]
    require_empty(folder)
    with whole_folder(folder) as part:
        for number, (name, write) in enumerate(((ENCODER, _write_encoder), (DECODER, _write_decoder))):
            progress(number, len(steps), steps[number])
            with TemporaryDirectory(dir=part) as scratch:
                write(model, Path(scratch) / name)
                _convert(Path(scratch) / name, part / name, precision)
        progress(2, len(steps), steps[2])
        files = {path.name: _sha256(path) for path in sorted(part.iterdir())}
        mean, std = (tuple(values.flatten().tolist()) for values in (model.pixel_mean, model.pixel_std))
        side = model.image_encoder.img_size
        none = Check(_SEED, 0, 0, 0.0, 0.0, 0.0)
        manifest = Manifest(segmenter.name, segmenter.version, precision, OPSET, side, mean, std, files, none)
        exported = OnnxSam(segmenter.info, part, manifest)
        manifest = Manifest(**(vars(manifest) | {"check": compare(segmenter, exported)}))
        if manifest.check.mean_iou < _LEAST_IOU[precision]:
            raise WeightsError(
                f"{segmenter.name} as {precision} does not give the masks of its source: their mean IoU is "
                f"{manifest.check.mean_iou:.3f}, expected {_LEAST_IOU[precision]} at least. Nothing was written."
            )
        manifest.write(part)
    progress(len(steps), len(steps))
    return manifest


def compare(source: Segmenter, exported: Segmenter) -> Check:
    """Compare the answers of two segmenters to seeded clicks and boxes on seeded images."""
    random = np.random.default_rng(_SEED)
    overlaps, differences = [], []
    for size in ((480, 640), (400, 300))[:_IMAGES]:
        image = _image(random, size)
        corners = np.sort(random.uniform(0.1, 0.9, (_CLICKS // 2, 2, 2)), 1) * size[::-1]
        prompts = [Prompt(random.uniform(0, size[::-1]).astype(np.float32), np.array([1])) for _ in range(_CLICKS)]
        prompts += [Prompt(box=box.flatten().astype(np.float32)) for box in corners]
        answers = (segmenter.decode(segmenter.encode(image), prompts) for segmenter in (source, exported))
        for one, other in zip(*answers, strict=True):
            differences.append(np.abs(one.predicted_iou - other.predicted_iou).max())
            masks = np.asarray(one.masks), np.asarray(other.masks)
            both, either = (masks[0] & masks[1]).sum((1, 2)), (masks[0] | masks[1]).sum((1, 2))
            overlaps += np.where(either == 0, 1.0, both / np.maximum(either, 1)).tolist()
    count = _IMAGES * (_CLICKS + _CLICKS // 2)
    iou = np.array(overlaps)
    return Check(_SEED, _IMAGES, count, float(iou.mean()), float(iou.min()), float(max(differences)))


def _image(random: np.random.Generator, size: tuple[int, int]) -> ImageArray:
    """Return smooth noise, uint8 RGB (H, W, 3)."""
    coarse = torch.from_numpy(random.uniform(0, 255, (1, 3, 8, 8)))
    smooth = nn.functional.interpolate(coarse, size, mode="bicubic").clamp(0, 255)[0]
    image: ImageArray = smooth.permute(1, 2, 0).numpy().astype(np.uint8)
    return image


def _write_encoder(model: Sam, path: Path) -> None:
    side = model.image_encoder.img_size
    write_onnx(_Encoder(model), (torch.zeros(1, 3, side, side),), path, ["image"], ["features"], {})


def _write_decoder(model: Sam, path: Path) -> None:
    side = model.image_encoder.img_size
    rows, columns = model.prompt_encoder.image_embedding_size
    batch = (
        torch.randn(1, model.prompt_encoder.embed_dim, rows, columns),
        torch.rand(2, 3, 2) * side,
        torch.tensor([[1, 0, -1], [1, 2, 3]]),
        torch.randn(2, 1, 4 * rows, 4 * columns),
        torch.tensor([0.0, 1.0]),
    )
    inputs, outputs = ["features", "coords", "labels", "logits", "has_logits"], ["masks", "iou"]
    axes: dict[str, Any] = {name: {0: "prompts"} for name in (*inputs[1:], *outputs)}
    for name in ("coords", "labels"):
        axes[name][1] = "points"
    write_onnx(SamDecoder(model), batch, path, inputs, outputs, axes)


def _convert(source: Path, target: Path, precision: Precision) -> None:
    """Write an ONNX file in a precision, its weights beside it: a file of ONNX itself holds two gigabytes at most."""
    model = onnx.load(source)
    # The decoder is small, and clicks in 8 bits would move by pixels.
    if precision is Precision.INT8 and source.name == ENCODER:
        _quantize(model, target)
        return
    if precision is Precision.FP16:
        from onnxruntime.transformers.float16 import convert_float_to_float16

        model = convert_float_to_float16(model, keep_io_types=True, disable_shape_infer=True)
    onnx.save(model, target, save_as_external_data=True, location=f"{target.name}.data")


def _quantize(model: onnx.ModelProto, target: Path) -> None:
    """Write a model with the weights of its linear layers in 8 bits."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    weights = {tensor.name for tensor in model.graph.initializer if len(tensor.dims) == 2}
    linear = [node.name for node in model.graph.node if node.op_type in _LINEAR and node.input[1] in weights]
    # torch has folded the constants; without this mark, onnxruntime advises to do so.
    onnx.helper.set_model_props(model, {"onnx.quant.pre_process": "onnxruntime.quant"})
    # Of 8 bits, 7 are used: without VNNI a processor adds products of 8 bits into 16 and saturates.
    quantize_dynamic(
        model,
        target,
        op_types_to_quantize=list(_LINEAR),
        nodes_to_quantize=linear,
        per_channel=True,
        reduce_range=True,
        weight_type=QuantType.QInt8,
        use_external_data_format=True,
    )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
