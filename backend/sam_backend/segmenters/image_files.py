"""Image files of any depth and colours -> pixels as uint8 RGB, turned by EXIF."""

from __future__ import annotations

import io
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from sam_backend.arrays import ImageArray
from sam_backend.errors import BadRequestError

WINDOW = (0.5, 99.5)
"""Percentiles of the values of a deep image that become 0 and 255."""

_WINDOW_SAMPLES = 2_000_000
_FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "WEBP", "GIF", "JPEG2000", "PPM")
_BITS_PER_SAMPLE = 258
"""Tag of a TIFF file."""

# Pillow's own limit cannot be set for one call; `decode_image` checks the size before any pixel is read.
Image.MAX_IMAGE_PIXELS = None


def decode_image(file: bytes, name: str, *, max_pixels: int) -> ImageArray:
    """Decode a file to uint8 RGB (H, W, 3), turned by its EXIF orientation.

    Greyscale, palette and transparent images become RGB, without their transparency. Images with more than 8 bits a
    channel are mapped linearly so that the percentiles `WINDOW` of all their values become 0 and 255; values outside
    saturate. (Of a large image a regular sample of the values is taken.)

    Parameters
    ----------
    file : bytes, the whole file.
    name : str, the image's name in messages.
    max_pixels : int, an image with more pixels is refused before it is decoded.

    Raises
    ------
    BadRequestError
        If it is not an image, truncated, or too large.
    """
    try:
        image = Image.open(io.BytesIO(file), formats=_FORMATS)
    except (OSError, ValueError, SyntaxError):
        raise BadRequestError(f"{name} is not an image that can be read; put a PNG, JPEG or TIFF there.") from None
    width, height = image.size
    if width * height > max_pixels:
        raise BadRequestError(
            f"{name} has {width} x {height} pixels; at most {max_pixels:,} are taken (SAM_INSPECT_MAX_IMAGE_PIXELS)."
        )
    try:
        if _is_deep_colour(image, file):
            return _decode_deep_colour(file)
        turned = ImageOps.exif_transpose(image)
        if turned.mode.startswith(("I", "F")):
            grey = _window(np.asarray(turned))
            return np.repeat(grey[..., None], 3, axis=2)
        return np.asarray(turned.convert("RGB"))
    # Pillow's decoders also raise SyntaxError and struct.error on broken content.
    except Exception as error:
        raise BadRequestError(f"{name} is truncated or corrupt ({_reason(error)}); put the whole file there.") from None


def _is_deep_colour(image: Image.Image, file: bytes) -> bool:
    """Return whether the colours have more than 8 bits a channel; Pillow would keep the upper 8."""
    if image.mode not in ("RGB", "RGBA", "LA"):
        return False
    if image.format == "PNG":
        return file[24] > 8  # the header's bit depth
    bits: tuple[int, ...] = getattr(image, "tag_v2", {}).get(_BITS_PER_SAMPLE, (8,))
    return max(bits) > 8


def _decode_deep_colour(file: bytes) -> ImageArray:
    decoded = cv2.imdecode(np.frombuffer(file, np.uint8), cv2.IMREAD_ANYDEPTH | cv2.IMREAD_COLOR)
    if decoded is None:
        raise ValueError("the decoder gave up")
    return np.ascontiguousarray(_window(decoded)[..., ::-1])


def _window(values: NDArray[Any]) -> ImageArray:
    flat = values.reshape(-1)
    sample = flat[:: max(1, flat.size // _WINDOW_SAMPLES)].astype(np.float64)
    low, high = np.percentile(sample[np.isfinite(sample)], WINDOW)
    scaled = (np.nan_to_num(values.astype(np.float32)) - low) * (255 / max(high - low, 1e-12))
    pixels: ImageArray = np.clip(np.rint(scaled), 0, 255).astype(np.uint8)
    return pixels


def _reason(error: Exception) -> str:
    return str(error).splitlines()[0][:120] if str(error) else type(error).__name__
