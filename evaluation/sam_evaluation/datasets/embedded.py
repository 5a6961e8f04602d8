"""Images inside JSON files, as base64."""

from __future__ import annotations

import base64
import binascii
import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sam_backend.errors import SamInspectError
from sam_backend.segmenters.image_files import decode_image
from sam_evaluation.errors import BrokenSampleError

_MAX_PIXELS = 2**28


def embedded_image(text: str, what: str) -> NDArray[np.uint8]:
    """Return an image file in base64 as uint8 RGB (H, W, 3), turned by EXIF; `what` names it in an error.

    Raises
    ------
    BrokenSampleError
        If it cannot be read.
    """
    try:
        return decode_image(_bytes(text, what), what, max_pixels=_MAX_PIXELS)
    except SamInspectError as error:
        raise BrokenSampleError(str(error)) from None


def embedded_png(text: str, what: str, limit: tuple[int, int]) -> Image.Image:
    """Return a PNG in base64, decoded, of whatever mode; `what` names it in an error.

    Raises
    ------
    BrokenSampleError
        If it cannot be read, or is larger than `limit` (H, W) in any direction.
    """
    try:
        image = Image.open(io.BytesIO(_bytes(text, what)), formats=["PNG"])
        # On the header, before any pixel is unpacked.
        if image.height > limit[0] or image.width > limit[1]:
            raise BrokenSampleError(
                f"{what} is {image.width} x {image.height} pixels; at most {limit[1]} x {limit[0]} were expected."
            )
        image.load()
    except (OSError, ValueError, SyntaxError) as error:
        raise BrokenSampleError(f"{what} is not a readable PNG ({error}); export it again.") from None
    return image


def _bytes(text: str, what: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise BrokenSampleError(f"{what} is not base64; was the file cut short?") from None
