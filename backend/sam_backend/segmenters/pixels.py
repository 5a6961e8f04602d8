"""The image beside its embedding, so that any process can look at a part of it again."""

from __future__ import annotations

import hashlib

import numpy as np

from sam_backend.arrays import ImageArray
from sam_backend.segmenters.protocol import Embedding

_PIXELS, _DIGEST = "image.pixels", "image.digest"


def with_pixels(embedding: Embedding, image: ImageArray) -> Embedding:
    """Return an embedding that also holds its image, uint8 RGB (H, W, 3): 3 bytes a pixel; the same if it does so."""
    if _PIXELS in embedding.arrays:
        return embedding
    pixels = np.ascontiguousarray(image)
    digest = np.frombuffer(hashlib.blake2b(pixels.data, digest_size=16).digest(), np.uint8)
    return Embedding({**embedding.arrays, _PIXELS: pixels, _DIGEST: digest}, embedding.size)


def pixels_of(embedding: Embedding) -> ImageArray:
    """Return the image uint8 RGB (H, W, 3) of an embedding made by `with_pixels`."""
    return np.asarray(embedding.arrays[_PIXELS], np.uint8)


def digest_of(embedding: Embedding) -> str:
    """Return the digest of that image, 32 hex digits."""
    return embedding.arrays[_DIGEST].tobytes().hex()
