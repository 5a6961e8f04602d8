"""Embeddings as feature maps: what a model sees at each place of an image, for comparing places of images."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from sam_backend.arrays import FloatArray
from sam_backend.errors import BadRequestError
from sam_backend.segmenters.protocol import Embedding

_SAM_INPUT = 1024
_NANO_INPUT = 512
_NANO_WIDTHS = (96, 24, 12)
"""Channels of nano's maps at stride 8, 4 and 2, the finer two packed by space-to-depth."""


@dataclass(frozen=True, eq=False)
class DenseFeatures:
    """A model's features of an image.

    Attributes
    ----------
    values : (n, n, C) float32; the image's longer side is n cells long, the rest is padding at the right or bottom.
    shown : rows and columns of `values` that show the image.
    """

    values: FloatArray
    shown: tuple[int, int]

    @property
    def inside(self) -> FloatArray:
        """The part (rows, columns, C) that shows the image."""
        return self.values[: self.shown[0], : self.shown[1]]


def dense_features(embedding: Embedding) -> DenseFeatures:
    """Unpack the features of an embedding by `nano` (n = 128) or `sam:*` (n = 64); others' arrays may lie beside them.

    Raises
    ------
    BadRequestError
        If the model that made it has no features of places, as `grabcut` has none.
    """
    arrays = embedding.arrays
    if "input_size" in arrays and "embedding" in arrays:
        values, side = _unpack_nano(np.asarray(arrays["embedding"], np.float32)[0]), _NANO_INPUT
    elif "input_size" in arrays and "features" in arrays:
        values, side = np.asarray(arrays["features"], np.float32).transpose(1, 2, 0), _SAM_INPUT
    else:
        raise BadRequestError(
            f"Examples are remembered by the features of nano or sam:*; this model's embedding has only {list(arrays)}."
        )
    rows, columns = np.ceil(np.asarray(arrays["input_size"]) * (len(values) / side)).astype(int).tolist()
    return DenseFeatures(np.ascontiguousarray(values), (rows, columns))


def _unpack_nano(packed: FloatArray) -> FloatArray:
    """Return (128, 128, 144): all three maps at stride 4; of the finest, mean and spread of each four cells."""
    wide, fine, finest = _NANO_WIDTHS
    rows, columns = packed.shape[1:]
    size = (2 * columns, 2 * rows)
    base = cv2.resize(packed[:wide].transpose(1, 2, 0), size, interpolation=cv2.INTER_LINEAR)
    quarter = packed[wide : wide + 4 * fine].reshape(fine, 2, 2, rows, columns)
    quarter = quarter.transpose(3, 1, 4, 2, 0).reshape(2 * rows, 2 * columns, fine)
    half = packed[wide + 4 * fine :].reshape(finest, 2, 2, 2, 2, rows, columns)
    # Channels are (row, column) within a cell of stride 8; of each the first half tells the cell of stride 4.
    half = half.transpose(5, 1, 6, 3, 0, 2, 4).reshape(2 * rows, 2 * columns, finest, 4)
    return np.concatenate([base, quarter, half.mean(3), half.std(3)], 2)
