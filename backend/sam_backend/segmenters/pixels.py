"""The image beside its embedding, so that any process can look at a part of it again."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from sam_backend.arrays import ImageArray
from sam_backend.segmenters.image_reader import PixelReader
from sam_backend.segmenters.protocol import Embedding, Segmenter

_PIXELS, _DIGEST, _MAPPING = "image.pixels", "image.digest", "image.mapping"


def encode_image(segmenter: Segmenter, image: ImageArray | PixelReader) -> Embedding:
    """Encode an image; an embedding that holds it keeps a reader's grey levels, digest and mapping."""
    if not isinstance(image, PixelReader):
        return segmenter.encode(image)
    embedding = segmenter.encode(image.rgb())
    if _PIXELS not in embedding.arrays:
        return embedding
    arrays = {**embedding.arrays, _PIXELS: image.pixels, _DIGEST: _array(image.digest)}
    return with_mapping(Embedding(arrays, embedding.size), image.mapping)


def with_pixels(embedding: Embedding, image: ImageArray) -> Embedding:
    """Return an embedding that also holds its image, uint8 RGB (H, W, 3): 3 bytes a pixel; the same if it does so."""
    if _PIXELS in embedding.arrays:
        return embedding
    return Embedding({**embedding.arrays, _PIXELS: np.ascontiguousarray(image)}, embedding.size)


def reader_of(embedding: Embedding) -> PixelReader:
    """Return the image of an embedding that holds it."""
    pixels = np.asarray(embedding.arrays[_PIXELS], np.uint8)
    digest = _text(embedding, _DIGEST)
    if not digest:
        digest = hashlib.sha256(pixels.data).hexdigest()
        if isinstance(embedding.arrays, dict):
            # Kept for the next click; the image of a file has it from the start.
            embedding.arrays[_DIGEST] = _array(digest)
    return PixelReader(pixels, mapping_of(embedding), digest)


def with_mapping(embedding: Embedding, mapping: str) -> Embedding:
    """Return an embedding that also tells how the values of its image's file became 8 bits."""
    return Embedding({**embedding.arrays, _MAPPING: _array(mapping)}, embedding.size) if mapping else embedding


def mapping_of(embedding: Embedding) -> str:
    """Return how the values of the image's file became 8 bits, see `ImageReader.mapping`."""
    return _text(embedding, _MAPPING)


def _array(text: str) -> NDArray[np.uint8]:
    return np.frombuffer(text.encode(), np.uint8)


def _text(embedding: Embedding, name: str) -> str:
    return embedding.arrays[name].tobytes().decode() if name in embedding.arrays else ""
