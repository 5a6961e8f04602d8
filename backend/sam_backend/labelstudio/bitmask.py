"""Label Studio's bitmask: a PNG of the image's size in a data URL, opaque black where the mask is true."""

import base64
import binascii
import io

import numpy as np
from PIL import Image

from sam_backend.arrays import BoolArray
from sam_backend.errors import BadRequestError

_PREFIX = "data:image/png;base64,"


def encode_bitmask(mask: BoolArray) -> str:
    """Encode a mask (H, W) bool as a data URL.

    The PNG has two palette entries, transparent and opaque black, and so one bit a pixel; browsers decode it to the
    same RGBA pixels that Label Studio itself writes.
    """
    image = Image.fromarray(np.ascontiguousarray(mask, np.uint8), "P")
    image.putpalette([0, 0, 0, 0, 0, 0, 0, 255], "RGBA")
    file = io.BytesIO()
    image.save(file, "PNG", bits=1, transparency=bytes((0, 255)))
    return _PREFIX + base64.b64encode(file.getvalue()).decode("ascii")


def decode_bitmask(url: str, size: tuple[int, int]) -> BoolArray:
    """Decode a data URL for an image of `size` (H, W) to a mask: true where alpha is 128 or more.

    Raises
    ------
    BadRequestError
        If it is not a data URL of a PNG, or a mask of an image of another size.
    """
    height, width = size
    if not isinstance(url, str) or not url.startswith(_PREFIX):
        raise BadRequestError(f"A bitmask is a data URL that starts with '{_PREFIX}'; got '{str(url)[:40]}'.")
    try:
        with Image.open(io.BytesIO(base64.b64decode(url[len(_PREFIX) :], validate=True)), formats=["PNG"]) as image:
            # Checked on the header, before any pixel is unpacked.
            if image.size != (width, height):
                raise BadRequestError(
                    f"The bitmask has {image.width} x {image.height} pixels, but the image {width} x {height}."
                )
            alpha = np.asarray(image.convert("RGBA"))[..., 3]
    except (binascii.Error, OSError, SyntaxError, ValueError) as error:
        raise BadRequestError("The bitmask is not a readable PNG; was it cut short on the way?") from error
    return alpha >= 128
