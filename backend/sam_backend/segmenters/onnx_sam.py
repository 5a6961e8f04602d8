"""An official SAM on onnxruntime, from a folder that `sam-inspect export-model` wrote; needs no PyTorch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sam_backend.arrays import FloatArray, ImageArray
from sam_backend.segmenters.exported import DECODER, ENCODER, Manifest
from sam_backend.segmenters.model_info import ModelInfo
from sam_backend.segmenters.onnx_sessions import device_of, open_session
from sam_backend.segmenters.sam_frame import SamFrame


class OnnxSam(SamFrame):
    """An exported SAM.

    Parameters
    ----------
    info : ModelInfo, its entry.
    folder : Path of `encoder.onnx` and `decoder.onnx`.
    manifest : Manifest, how the image is normalised, and of which weights the files are.
    threads : int, threads of onnxruntime; 0 takes all cores.

    Raises
    ------
    WeightsError
        If a file is missing or is not an ONNX model.
    """

    def __init__(self, info: ModelInfo, folder: Path, manifest: Manifest, threads: int = 0) -> None:
        super().__init__(info, f"{manifest.version}-{manifest.precision}-{_digest(manifest)}", manifest.side)
        self._mean, self._std = (np.array(values, np.float32) for values in (manifest.mean, manifest.std))
        self._encoder, self._decoder = (
            open_session(folder / name, threads, "model", f"export {manifest.model} again")
            for name in (ENCODER, DECODER)
        )

    @property
    def device(self) -> str:
        """The execution provider, for example `cuda`."""
        return device_of(self._encoder)

    def _encoded(self, image: ImageArray) -> FloatArray:
        rows, columns = image.shape[:2]
        square = np.zeros((1, 3, self._side, self._side), np.float32)
        square[0, :, :rows, :columns] = ((image - self._mean) / self._std).transpose(2, 0, 1)
        features: FloatArray = self._encoder.run(None, {"image": square})[0][0]
        return features

    def _answered(
        self, maps: Mapping[str, FloatArray], coords: FloatArray, labels: NDArray[np.int64], logits: FloatArray | None
    ) -> tuple[FloatArray, FloatArray]:
        features = maps["features"]
        count, (rows, columns) = len(coords), features.shape[1:]
        given = {
            "features": features[None],
            "coords": coords,
            "labels": labels,
            "logits": np.zeros((count, 1, 4 * rows, 4 * columns), np.float32) if logits is None else logits,
            "has_logits": np.full(count, logits is not None, np.float32),
        }
        masks, predicted_iou = self._decoder.run(None, given)
        return masks, predicted_iou


def _digest(manifest: Manifest) -> str:
    """Return eight hex digits that identify the files."""
    return "".join(sha256[:4] for _, sha256 in sorted(manifest.files.items()))[:8]
