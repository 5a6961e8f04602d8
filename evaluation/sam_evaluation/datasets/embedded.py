"""Images that are stored as base64 text in JSON files."""

from __future__ import annotations

import base64
import binascii

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sam_backend.errors import SamInspectError
from sam_backend.segmenters.image_files import decode_image
from sam_backend.segmenters.image_headers import read_header
from sam_evaluation.datasets.sample_files import max_pixels
from sam_evaluation.errors import BrokenSampleError


def embedded_image(text: str, what: str) -> NDArray[np.uint8]:
    """Decode an image file.

    Parameters
    ----------
    text : str, the image file in base64.
    what : str, names the image in an error.

    Returns
    -------
    ndarray
        uint8 RGB (H, W, 3), turned as its EXIF orientation says.

    Raises
    ------
    BrokenSampleError
        If it cannot be read.
    """
    try:
        return decode_image(_bytes(text, what), what, max_pixels=max_pixels())
    except SamInspectError as error:
        raise BrokenSampleError(str(error)) from None


def embedded_png(text: str, what: str, limit: tuple[int, int]) -> Image.Image:
    """Decode a PNG of any mode.

    Parameters
    ----------
    text : str, the PNG file in base64.
    what : str, names the image in an error.
    limit : (H, W), the largest size allowed, in pixels.

    Raises
    ------
    BrokenSampleError
        If it cannot be read, or is higher or wider than `limit`.
    """
    try:
        image = read_header(_bytes(text, what), formats=["PNG"])
        # The header is enough: no pixel is decoded before this check.
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
        raise BrokenSampleError(f"{what} is not valid base64; export it again.") from None
