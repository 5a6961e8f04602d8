"""The codec of Label Studio's bitmasks: a PNG in a data URL, of the image's size, opaque black where it is true."""

import base64
import binascii
import struct
import zlib

import numpy as np
from PIL import Image

from sam_backend.arrays import BoolArray
from sam_backend.errors import BadRequestError
from sam_backend.samples import Cropped
from sam_backend.segmenters.image_headers import read_header

_BLOCK_PIXELS = 1 << 20
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PALETTE = 3
"""A PNG's colour type of palettes."""

_PREFIX = "data:image/png;base64,"


def encode_bitmask(mask: BoolArray | Cropped) -> str:
    """Encode a mask, bool (H, W) or Cropped, as a data URL.

    The PNG has two palette entries, transparent and opaque black, and therefore one bit per pixel. Browsers decode it
    to the same RGBA pixels that Label Studio writes. It is written by rows, so that a small mask of a large image takes
    little memory.
    """
    cropped = Cropped.of(mask)
    height, width = cropped.size
    header = struct.pack(">II5B", width, height, 1, _PALETTE, 0, 0, 0)
    chunks = (
        (b"IHDR", header),
        (b"PLTE", bytes(6)),
        (b"tRNS", b"\0\xff"),
        (b"IDAT", _compressed_rows(cropped)),
        (b"IEND", b""),
    )
    file = _SIGNATURE + b"".join(
        struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in chunks
    )
    return _PREFIX + base64.b64encode(file).decode("ascii")


def _compressed_rows(cropped: Cropped) -> bytes:
    """Return the rows of a mask, each a byte 0 (no filter) and one bit a pixel, compressed by zlib."""
    height, width = cropped.size
    rows, columns = cropped.place
    length = 1 + (width + 7) // 8
    compressor, content = zlib.compressobj(), []
    block = max(1, _BLOCK_PIXELS // length)
    for start in (*range(0, rows.start, block), *range(rows.start, rows.stop, block), *range(rows.stop, height, block)):
        limit = next(edge for edge in (rows.start, rows.stop, height) if start < edge)
        stop = min(start + block, limit)
        packed = np.zeros((stop - start, length), np.uint8)
        if rows.start <= start < rows.stop:
            bits = np.zeros((stop - start, 8 * (length - 1)), np.bool_)
            bits[:, columns] = cropped.part[start - rows.start : stop - rows.start]
            packed[:, 1:] = np.packbits(bits, axis=1)
        content.append(compressor.compress(packed.data))
    return b"".join([*content, compressor.flush()])


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
            return _opaque(image)
    except (binascii.Error, OSError, SyntaxError, ValueError) as error:
        raise BadRequestError("The bitmask is not a readable PNG; was it cut short on the way?") from error


def _opaque(image: Image.Image) -> BoolArray:
    """Return where the alpha of an image is 128 or more, bool (H, W)."""
    mask = np.empty((image.height, image.width), np.bool_)
    table = _opaque_colours(image)
    # By rows: the pixels of the whole image would take several bytes a pixel, twice.
    step = max(1, _BLOCK_PIXELS // image.width)
    for top in range(0, image.height, step):
        bottom = min(top + step, image.height)
        block = image.crop((0, top, image.width, bottom))
        if table is not None:
            mask[top:bottom] = np.asarray(block.point(table))
        else:
            alpha = block if "A" in block.getbands() else block.convert("RGBA")
            mask[top:bottom] = np.asarray(alpha.getchannel("A")) >= 128
    return mask


def _opaque_colours(image: Image.Image) -> list[int] | None:
    """Return 1 for each colour of a palette that is opaque, and 0 for the others; None without a palette."""
    if image.mode != "P":
        return None
    transparency = image.info.get("transparency", b"")
    alpha = {transparency: 0} if isinstance(transparency, int) else dict(enumerate(transparency))
    return [int(alpha.get(colour, 255) >= 128) for colour in range(256)]
