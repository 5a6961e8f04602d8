"""Embeddings of views that are seen again and again, kept on disk: where the encoder stays, it need run once."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sam_backend.files import write_whole


class Embeddings:
    """Embeddings as float16 files, which is more than the bfloat16 that the decoder computes in.

    Parameters
    ----------
    folder : they are kept in.
    encode : image uint8 (S, S, 3) -> (1, C, h, w).
    """

    def __init__(self, folder: Path, encode: Callable[[Any], Tensor]) -> None:
        self._folder = folder
        self._encode = encode

    def fetch(self, key: str, image: Any) -> Tensor:
        """Return the embedding (1, C, h, w) float32 of the image that `key` stands for; OSError on a full disk."""
        path = self._folder / f"{hashlib.sha256(key.encode()).hexdigest()[:24]}.npy"
        if path.exists():
            return torch.from_numpy(np.load(path)).float()
        with torch.no_grad():
            embedding = self._encode(image).half()
        content = io.BytesIO()
        np.save(content, embedding.numpy())
        write_whole(path, content.getbuffer())
        return embedding.float()
