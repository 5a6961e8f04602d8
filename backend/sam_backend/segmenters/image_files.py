"""Image files of any depth and colours -> pixels as uint8 RGB, turned by EXIF."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

from sam_backend.arrays import ImageArray
from sam_backend.errors import BadRequestError
from sam_backend.segmenters.image_headers import has_deep_colours, open_image, reason

WINDOW = (0.5, 99.5)
"""Percentiles of the values of a deep image that become 0 and 255."""

_WINDOW_SAMPLES = 2_000_000
_BLOCK_PIXELS = 1 << 18
_ONE_CHANNEL = {"1": "u1", "L": "u1", "P": "u1", "I;16": "<u2", "I;16L": "<u2", "I;16B": ">u2", "I": "=i4", "F": "=f4"}
"""Pillow's modes of one channel, and how it stores a pixel; all other modes store four bytes a pixel."""
_RGB_FIRST = ("RGB", "RGBA", "RGBX", "LA")
"""Modes whose first three stored bytes are red, green and blue."""

_SHARED = (*_ONE_CHANNEL, *_RGB_FIRST, "CMYK")


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
        if self.mode in _ONE_CHANNEL:
            return self.memory.view(_ONE_CHANNEL[self.mode]).reshape(height, width)
        return self.memory.reshape(height, width, 4)


def decode_image(file: bytes, name: str, *, max_pixels: int) -> ImageArray:
    """Decode a file to uint8 RGB (H, W, 3), turned by its EXIF orientation; of an animation, the first frame.

    Greyscale, palette and transparent images become RGB, without their transparency. Images with more than 8 bits a
    channel are mapped linearly so that the percentiles `WINDOW` of all their values become 0 and 255; values outside
    saturate, and what is no number becomes 0. (Of a large image a regular sample of the values is taken.)

    Beside the file, decoding takes about 4 bytes a pixel, and 6 for images that are turned.

    Parameters
    ----------
    file : bytes, the whole file.
    name : str, the image's name in messages.
    max_pixels : int, an image with more pixels is refused before it is decoded; see `open_image`.

    Raises
    ------
    BadRequestError
        If it is not an image, truncated, or too large.
    """
    image = open_image(file, name, max_pixels=max_pixels)
    try:
        if has_deep_colours(image, file):
            return _decode_deep_colour(file)
        decoded = decode_values(image)
        return turned(_rgb(decoded), decoded.orientation)
    except MemoryError:
        raise BadRequestError(f"{name} needs more memory than this machine has free; make the image smaller.") from None
    # Pillow's decoders also raise SyntaxError and struct.error on broken content.
    except Exception as error:
        raise BadRequestError(f"{name} is truncated or corrupt ({reason(error)}); put the whole file there.") from None


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
        bytes_a_pixel = np.dtype(_ONE_CHANNEL.get(image.mode, "u4")).itemsize
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


def _rgb(decoded: DecodedImage) -> ImageArray:
    to_rgb = _conversion(decoded)
    width, height = decoded.size
    in_place = len(decoded.memory) == height * width * 4
    pixels = decoded.memory if in_place else np.empty(height * width * 3, np.uint8)
    # In place, a row is written where the rows before it were, since it becomes shorter.
    for rows in _blocks(height, width):
        pixels[rows.start * width * 3 : rows.stop * width * 3] = to_rgb(decoded.values[rows]).reshape(-1)
    if in_place:
        # No view of the memory is left: `decoded.values` makes new ones.
        pixels.resize(height * width * 3, refcheck=False)
    return pixels.reshape(height, width, 3)


def _conversion(decoded: DecodedImage) -> Callable[[NDArray[Any]], ImageArray]:
    """Return a function that makes some rows of the values uint8 RGB (h, W, 3)."""
    mode, palette = decoded.mode, decoded.palette
    if mode in _RGB_FIRST:
        return lambda rows: cv2.cvtColor(rows, cv2.COLOR_RGBA2RGB)
    if palette is not None:
        return lambda rows: palette[rows if rows.ndim == 2 else rows[..., 0]]
    if mode in ("1", "L"):
        return lambda rows: cv2.cvtColor(rows, cv2.COLOR_GRAY2RGB)
    if mode in _ONE_CHANNEL:
        window = _window(decoded.values)
        return lambda rows: cv2.cvtColor(window(rows), cv2.COLOR_GRAY2RGB)
    bands = Image.getmodebands(mode)
    return lambda rows: np.asarray(
        Image.frombytes(mode, (rows.shape[1], rows.shape[0]), rows[..., :bands].tobytes()).convert("RGB")
    )


def _stored(image: Image.Image) -> NDArray[np.uint8]:
    """Return the pixels of a loaded image as Pillow stores its mode, uint8 (N,)."""
    width, height = image.size
    memory = np.zeros(height * width * np.dtype(_ONE_CHANNEL.get(image.mode, "u4")).itemsize, np.uint8)
    stored = DecodedImage(memory, image.mode, image.size, None, 1).values
    for rows in _blocks(height, width):
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


def _decode_deep_colour(file: bytes) -> ImageArray:
    decoded = cv2.imdecode(np.frombuffer(file, np.uint8), cv2.IMREAD_ANYDEPTH | cv2.IMREAD_COLOR)
    if decoded is None:
        raise ValueError("the decoder gave up")
    window = _window(decoded)
    pixels = np.empty(decoded.shape, np.uint8)
    for rows in _blocks(*decoded.shape[:2]):
        pixels[rows] = window(decoded[rows])[..., ::-1]
    return pixels


def _window(values: NDArray[Any]) -> Callable[[NDArray[Any]], NDArray[np.uint8]]:
    """Return a function that maps some of the values to grey levels, uint8."""
    flat = values.reshape(-1)
    sample = flat[:: max(1, flat.size // _WINDOW_SAMPLES)].astype(np.float64)
    sample = sample[np.isfinite(sample)]
    if not sample.size:
        raise ValueError("none of its values is a finite number")
    low, high = np.percentile(sample, WINDOW).tolist()

    def mapped(block: NDArray[Any]) -> NDArray[np.uint8]:
        numbers = np.nan_to_num(block.astype(np.float64), nan=low, posinf=high, neginf=low)
        grey: NDArray[np.uint8] = np.clip(np.rint((numbers - low) * (255 / max(high - low, 1e-12))), 0, 255).astype(
            np.uint8
        )
        return grey

    if values.dtype.kind != "u" or values.dtype.itemsize != 2:
        return mapped
    table = mapped(np.arange(1 << 16))
    return lambda block: table[block]


def _blocks(height: int, width: int) -> Iterator[slice]:
    """Yield slices of rows, each of about `_BLOCK_PIXELS` pixels."""
    step = max(1, _BLOCK_PIXELS // max(width, 1))
    return (slice(start, min(start + step, height)) for start in range(0, height, step))
