"""The values in an image file, as they are: of any depth, in memory that is not copied."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

ONE_CHANNEL = {"1": "u1", "L": "u1", "P": "u1", "I;16": "<u2", "I;16L": "<u2", "I;16B": ">u2", "I": "=i4", "F": "=f4"}
"""Pillow's modes of one channel, and how it stores a pixel; all other modes store four bytes a pixel."""
RGB_FIRST = ("RGB", "RGBA", "RGBX", "LA")
"""Modes whose first three stored bytes are red, green and blue."""

_SHARED = (*ONE_CHANNEL, *RGB_FIRST, "CMYK")
_BLOCK_PIXELS = 1 << 18


@dataclass(frozen=True, eq=False)
class DecodedImage:
    """A decoded file, as Pillow stores its mode.

    Attributes
    ----------
    memory : uint8 (N,), the pixels.
    mode : str, Pillow's mode.
    size : (W, H) in pixels.
    palette : uint8 (256, 3), the colours of the mode P; None for the others.
    orientation : int, the EXIF orientation that the pixels still have.
    """

    memory: NDArray[np.uint8]
    mode: str
    size: tuple[int, int]
    palette: NDArray[np.uint8] | None
    orientation: int

    @property
    def values(self) -> NDArray[Any]:
        """The pixels (H, W) of uint8, uint16, int32 or float32, or uint8 (H, W, 4), without a copy."""
        width, height = self.size
        if self.mode in ONE_CHANNEL:
            return self.memory.view(ONE_CHANNEL[self.mode]).reshape(height, width)
        return self.memory.reshape(height, width, 4)


def decode_values(image: Image.Image) -> DecodedImage:
    """Decode an image that `open_image` has opened; the image itself must not be used afterwards.

    Raises
    ------
    Exception
        Almost any, if the content is broken.
    """
    width, height = image.size
    memory: NDArray[np.uint8] | None = None
    # Pillow turns a TIFF by itself, into memory of its own. The decoder of JPEG 2000 refuses memory of another mode.
    is_turned = getattr(image, "tag_v2", {}).get(ExifTags.Base.Orientation, 1) != 1
    if image.mode in _SHARED and image.format != "JPEG2000" and not is_turned:
        # Pillow decodes into memory that the array shares; a copy out of memory of its own would take as much again.
        bytes_a_pixel = np.dtype(ONE_CHANNEL.get(image.mode, "u4")).itemsize
        memory = np.zeros(height * width * bytes_a_pixel, np.uint8)
        form = "P" if image.mode == "P" else {1: "L", 2: "I;16", 4: "RGBX"}[bytes_a_pixel]
        mode, shared = image.mode, Image.frombuffer(form, image.size, memory, "raw", form, 0, 1).im
        image.im = shared
        image.load()
        # Some decoders have made memory of their own, for example that of a GIF with transparency.
        memory = memory if image.im is shared and image.mode == mode else None
        del shared
    if memory is None:
        image.load()
        memory = _stored(image)
    palette = _palette(image) if image.mode in ("P", "PA") else None
    orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    decoded = DecodedImage(memory, image.mode, image.size, palette, orientation)
    image.im = Image.new("L", (1, 1)).im  # ends the sharing
    return decoded


def turned(pixels: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Return pixels (H, W) or (H, W, C) as an EXIF orientation, 1-8, shows them; other values turn nothing."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)


def row_blocks(height: int, width: int) -> Iterator[slice]:
    """Yield slices of rows, each of about `_BLOCK_PIXELS` pixels."""
    step = max(1, _BLOCK_PIXELS // max(width, 1))
    return (slice(start, min(start + step, height)) for start in range(0, height, step))


def _stored(image: Image.Image) -> NDArray[np.uint8]:
    """Return the pixels of a loaded image as Pillow stores its mode, uint8 (N,)."""
    width, height = image.size
    memory = np.zeros(height * width * np.dtype(ONE_CHANNEL.get(image.mode, "u4")).itemsize, np.uint8)
    stored = DecodedImage(memory, image.mode, image.size, None, 1).values
    for rows in row_blocks(height, width):
        part = image.crop((0, rows.start, width, rows.stop))
        values = np.asarray(part.convert("L") if part.mode == "1" else part)
        if values.ndim == 2:
            stored[rows] = values
        elif values.shape[2] == 2:
            # The modes of two bands store the first one three times.
            stored[rows, :, :3], stored[rows, :, 3] = values[..., :1], values[..., 1]
        else:
            stored[rows, :, : values.shape[2]] = values
    return memory


def _palette(image: Image.Image) -> NDArray[np.uint8]:
    colours = np.array(image.getpalette("RGB") or [], np.uint8).reshape(-1, 3)
    return np.concatenate([colours, np.zeros((256 - len(colours), 3), np.uint8)])
