"""How an image is read: a part at its own resolution, or all of it shrunk to what a model sees."""

from __future__ import annotations

import hashlib
from functools import cached_property
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from sam_backend.arrays import ImageArray

Part = tuple[int, int, int, int]
"""A part of an image, xyxy in whole pixels, half-open."""


class ImageReader(Protocol):
    """An image that is read as far as it is needed. Safe to share between threads.

    Reading raises `BadRequestError` where the content of a file turns out to be broken.
    """

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels, turned as EXIF says."""

    @property
    def digest(self) -> str:
        """Hex digits that are equal for equal images only: of the file's bytes and the page."""

    @property
    def mapping(self) -> str:
        """How the file's values became 8-bit RGB, in a few words; "" for a file of 8-bit grey levels or RGB."""

    @property
    def nbytes(self) -> int:
        """Bytes that it holds once all that it keeps has been read."""

    def part(self, part: Part) -> ImageArray:
        """Return a part inside the image at its own resolution, uint8 RGB (h, w, 3)."""

    def shrunk(self, side: int) -> ImageArray:
        """Return all of the image, uint8 RGB; its longer side has at least `side` pixels, if the image has so many."""


class PixelReader:
    """An image in memory.

    Parameters
    ----------
    pixels : uint8 RGB (H, W, 3), or grey levels (H, W).
    mapping : str, see `ImageReader.mapping`.
    digest : str, see `ImageReader.digest`; None for a hash of the pixels.
    """

    def __init__(self, pixels: NDArray[np.uint8], mapping: str = "", digest: str | None = None) -> None:
        self.pixels = pixels
        self._digest = digest
        self.mapping = mapping

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.pixels.shape[0], self.pixels.shape[1]

    @cached_property
    def digest(self) -> str:
        """See `ImageReader.digest`."""
        return self._digest or hashlib.sha256(np.ascontiguousarray(self.pixels).data).hexdigest()

    @property
    def nbytes(self) -> int:
        """Bytes of the pixels."""
        return self.pixels.nbytes

    def rgb(self) -> ImageArray:
        """Return all of the image at its own resolution, uint8 RGB (H, W, 3)."""
        return rgb(self.pixels)

    def part(self, part: Part) -> ImageArray:
        """Return a part at its own resolution, uint8 RGB (h, w, 3)."""
        left, top, right, bottom = part
        return rgb(self.pixels[top:bottom, left:right])

    def shrunk(self, side: int) -> ImageArray:
        """Return all of the image, see `ImageReader.shrunk`: means over squares of a whole number of pixels."""
        height, width = self.size
        factor = max(height, width) // side
        if factor < 2:
            return rgb(self.pixels)
        size = max(1, round(width / factor)), max(1, round(height / factor))
        return rgb(np.asarray(cv2.resize(self.pixels, size, interpolation=cv2.INTER_AREA), np.uint8))


def rgb(pixels: NDArray[np.uint8]) -> ImageArray:
    """Return uint8 RGB (H, W, 3) of RGB or of grey levels (H, W)."""
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_GRAY2RGB), np.uint8) if pixels.ndim == 2 else pixels
