"""Embeddings of training views on disk: if the encoder is not trained, it runs only once for each view."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sam_backend.arrays import ImageArray
from sam_backend.files import write_whole


class ViewEmbeddings:
    """Embeddings as float16 files, which is more precise than the bfloat16 that the decoder computes in.

    Parameters
    ----------
    folder : Path, the folder of the files.
    encoder : str, identifies the encoder's weights.
    encode : function of an image uint8 (S, S, 3) that returns its embedding (1, C, h, w).
    """

    def __init__(self, folder: Path, encoder: str, encode: Callable[[ImageArray], Tensor]) -> None:
        self._folder = folder
        self._encoder = encoder
        self._encode = encode

    def fetch(self, image: ImageArray, precision: str) -> Tensor:
        """Return the embedding (1, C, h, w) float32 of an image, on the CPU.

        Parameters
        ----------
        image : uint8 (S, S, 3), encoded if there is no file yet for these pixels.
        precision : str, what the encoder computes in now, for example "bfloat16".

        Raises
        ------
        OSError
            If the embedding cannot be written, for example on a full disk.
        """
        digest = hashlib.sha256(
            f"{self._encoder} {precision} {image.shape} ".encode() + np.ascontiguousarray(image).tobytes()
        )
        path = self._folder / f"{digest.hexdigest()[:24]}.npy"
        if path.exists():
            return torch.from_numpy(np.load(path, allow_pickle=False)).float()
        with torch.no_grad():
            embedding = self._encode(image).half().cpu()
        content = io.BytesIO()
        np.save(content, embedding.numpy())
        write_whole(path, content.getbuffer())
        return embedding.float()
