"""The codec of Label Studio's bitmasks: a PNG in a data URL, of the image's size, opaque black where it is true."""

import base64
import binascii
import io

import numpy as np
from PIL import Image

from sam_backend.arrays import BoolArray
from sam_backend.errors import BadRequestError
from sam_backend.segmenters.image_headers import read_header

_BLOCK_PIXELS = 1 << 20
_PREFIX = "data:image/png;base64,"


def encode_bitmask(mask: BoolArray) -> str:
    """Encode a mask bool (H, W) as a data URL.

    The PNG has two palette entries, transparent and opaque black, and therefore one bit per pixel. Browsers decode it
    to the same RGBA pixels that Label Studio writes.
    """
    image = Image.fromarray(np.ascontiguousarray(mask, np.uint8), "P")
    image.putpalette([0, 0, 0, 0, 0, 0, 0, 255], "RGBA")
    file = io.BytesIO()
    image.save(file, "PNG", bits=1, transparency=bytes((0, 255)))
    return _PREFIX + base64.b64encode(file.getvalue()).decode("ascii")


def decode_bitmask(url: str, size: tuple[int, int]) -> BoolArray:
    """Decode a data URL.

    Parameters
    ----------
    url : str, `data:image/png;base64,…`.
    size : (H, W) of the image in pixels.

    Returns
    -------
    bool (H, W)
        True where alpha is 128 or more.

    Raises
    ------
    BadRequestError
        If it is not a data URL of a PNG, or the PNG has another size.
    """
    height, width = size
    if not isinstance(url, str) or not url.startswith(_PREFIX):
        raise BadRequestError(f"A bitmask is a data URL that starts with '{_PREFIX}'; got '{str(url)[:40]}'.")
    try:
        with read_header(base64.b64decode(url[len(_PREFIX) :], validate=True), formats=["PNG"]) as image:
            # The header has the size, so no pixel of a wrong PNG is decoded.
            if image.size != (width, height):
                raise BadRequestError(
                    f"The bitmask has {image.width} x {image.height} pixels, but the image {width} x {height}."
                )
            image.load()
            mask = np.empty(size, np.bool_)
            # By rows: the RGBA pixels of the whole image would take four bytes a pixel, twice.
            step = max(1, _BLOCK_PIXELS // width)
            for top in range(0, height, step):
                bottom = min(top + step, height)
                mask[top:bottom] = np.asarray(image.crop((0, top, width, bottom)).convert("RGBA"))[..., 3] >= 128
    except (binascii.Error, OSError, SyntaxError, ValueError) as error:
        raise BadRequestError("The bitmask is not a readable PNG; was it cut short on the way?") from error
    return mask
