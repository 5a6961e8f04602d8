"""Headers of image files: what they claim, and whether decoding it takes too much memory."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

from PIL import Image, UnidentifiedImageError

from sam_backend.errors import BadRequestError

_FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "WEBP", "GIF", "JPEG2000", "PPM")
_BITS_PER_SAMPLE, _COMPRESSION, _TILE_WIDTH, _TILE_LENGTH = 258, 259, 322, 323
_LEAST_TILE = 1 << 18
_PAGES_LOOKED_AT = 64
_LZMA = 34925
"""A compression of TIFF; a few bytes can ask its decoder for 4 GB."""
_KINDS = (
    (b"%PDF", "a PDF"),
    (b"8BPS", "a Photoshop file"),
    (b"\0\0\1\0", "an icon"),
    (b"\x89HDF", "an HDF5 file"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"PK\3\4", "a ZIP file"),
    (b"version https://git-lfs", "a Git LFS pointer; fetch the file with `git lfs pull`"),
    (b"\x89PNG", "a damaged PNG"),
    (b"\xff\xd8", "a damaged JPEG"),
    *(
        (magic, "a damaged TIFF, or its pixels are of a kind that is not read, such as colours as floats")
        for magic in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
    ),
)

# Pillow's own limit cannot be set for one call; whoever calls `read_header` checks the size before a pixel is read.
Image.MAX_IMAGE_PIXELS = None


def read_header(file: bytes, formats: Sequence[str] = _FORMATS) -> Image.Image:
    """Read the header of an image file, without Pillow's own limit and of these formats of Pillow only.

    Raises
    ------
    Exception
        Almost any, if the content is broken.
    """
    return Image.open(io.BytesIO(file), formats=list(formats))


def open_image(file: bytes, name: str, *, max_pixels: int) -> Image.Image:
    """Read the header of an image file; no pixel is decoded, so a file that only claims pixels costs nothing.

    Parameters
    ----------
    file : bytes, the whole file.
    name : str, the image's name in messages.
    max_pixels : int, an image with more pixels is refused. Decoders that take more than 4 bytes a pixel have
        proportionally lower limits: deep colours and progressive JPEG a half, WebP a quarter, JPEG 2000 a fifth, and
        PPM with an odd maximum a twentieth.

    Raises
    ------
    BadRequestError
        If it is not an image, or decoding it would take too much memory.
    """
    try:
        image = read_header(file)
    except UnidentifiedImageError:
        raise BadRequestError(
            f"{name} is not an image that can be read{_kind(file)}; put a PNG, JPEG or TIFF there."
        ) from None
    # Pillow's readers of headers raise almost anything on broken content.
    except Exception as error:
        raise BadRequestError(
            f"{name} is not an image that can be read ({reason(error)}); put a PNG, JPEG or TIFF there."
        ) from None
    check_memory(image, file, name, max_pixels)
    return image


def check_memory(image: Image.Image, file: bytes, name: str, max_pixels: int) -> None:
    """Raise BadRequestError if decoding an image, or the page that it is at, would take too much memory."""
    _check_pixels(image, file, name, max_pixels)
    if image.format == "TIFF":
        _check_tiff(image, name, max_pixels)


def has_deep_colours(image: Image.Image, file: bytes) -> bool:
    """Return whether the colours have more than 8 bits a channel; Pillow would keep the upper 8."""
    if image.mode not in ("RGB", "RGBA", "LA"):
        return False
    if image.format == "PNG":
        return file[24] > 8  # the header's bit depth
    if image.format == "PPM":
        return (_ppm_maximum(image) or 0) > 255
    return max(bits_per_sample(image)) > 8


def stretched_maximum(image: Image.Image, file: bytes) -> int | None:
    """Return the largest value of a file of grey levels that Pillow stretches to 255 or 65535; None if it does not."""
    if image.format == "PPM":
        return _ppm_maximum(image)
    bits = file[24] if image.format == "PNG" else bits_per_sample(image)[0]
    return (1 << bits) - 1 if image.mode == "L" and bits in (2, 4) else None


def bits_per_sample(image: Image.Image) -> tuple[int, ...]:
    """Return the bits of each channel of a TIFF; (8,) for other formats."""
    bits: tuple[int, ...] = getattr(image, "tag_v2", {}).get(_BITS_PER_SAMPLE, (8,))
    return bits


def choose_page(image: Image.Image, name: str, page: int | None) -> None:
    """Go to a page of a TIFF, or to a frame of an animation.

    Parameters
    ----------
    image : Image, its header; what is asked of it afterwards is about the page.
    name : str, the image's name in messages.
    page : int, from 1 on. None for the only page of a TIFF, or the first frame of an animation. Smaller pages, such as
        thumbnails and the levels of a pyramid, do not count.

    Raises
    ------
    BadRequestError
        If there is no such page, or none is given and several have the same size.
    """
    if page is None:
        if image.format == "TIFF" and _is_stack(image, name):
            raise BadRequestError(
                f"{name} is a stack of several pages; name one, counted from 1, in the task's data beside the image: "
                'for "image" in the field "image_page".'
            )
        return
    try:
        image.seek(page - 1)
    except EOFError:
        raise BadRequestError(f"{name} has no page {page}; pages are counted from 1.") from None
    except Exception as error:
        raise broken(name, error) from None


def _is_stack(image: Image.Image, name: str) -> bool:
    """Return whether a TIFF has a second page of the first one's size."""
    size = image.size
    try:
        for number in range(1, _PAGES_LOOKED_AT):
            image.seek(number)
            if image.size == size:
                return True
    except EOFError:
        pass
    except Exception as error:
        raise broken(name, error) from None
    finally:
        image.seek(0)
    return False


def broken(name: str, error: Exception) -> BadRequestError:
    """Return the error about a file whose content cannot be decoded."""
    return BadRequestError(f"{name} is truncated or corrupt ({reason(error)}); put the whole file there.")


def reason(error: Exception) -> str:
    """Return the first line of an error, or its type where it says nothing."""
    return str(error).splitlines()[0][:120] if str(error) else type(error).__name__


def _check_pixels(image: Image.Image, file: bytes, name: str, max_pixels: int) -> None:
    kind, share = _share(image, file)
    width, height = image.size
    if width * height > max_pixels // share:
        of_kind = f" of {kind}, which takes {share} times the memory" if share > 1 else ""
        raise BadRequestError(
            f"{name} has {width} x {height} pixels; at most {max_pixels // share:,} are taken{of_kind} "
            "(SAM_INSPECT_MAX_IMAGE_PIXELS)."
        )


def _share(image: Image.Image, file: bytes) -> tuple[str, int]:
    """Return a name for the kind of file, and how many times 4 bytes a pixel its decoder takes."""
    if image.format == "WEBP":
        return "a WebP", 4
    if image.format == "JPEG2000":
        return "a JPEG 2000", 5
    if image.format == "PPM" and any(tile.codec_name != "raw" for tile in getattr(image, "tile", ())):
        return "a PPM with an odd maximum or as text", 20
    if image.info.get("progressive"):
        return "a progressive JPEG", 2
    return ("colours of 16 bits", 2) if has_deep_colours(image, file) else ("", 1)


def _check_tiff(image: Image.Image, name: str, max_pixels: int) -> None:
    tags: Any = getattr(image, "tag_v2", {})
    if tags.get(_COMPRESSION) == _LZMA:
        raise BadRequestError(
            f"{name} is compressed with LZMA, whose decoder may take gigabytes; save it with LZW or Deflate."
        )
    # The decoder takes the memory of one whole tile, of up to 16 bytes a pixel, whatever the size of the image.
    tile, most = tags.get(_TILE_WIDTH, 0) * tags.get(_TILE_LENGTH, 0), max(max_pixels // 8, _LEAST_TILE)
    if tile > most:
        raise BadRequestError(f"{name} has tiles of {tile:,} pixels; at most {most:,} are taken; save smaller tiles.")


def _ppm_maximum(image: Image.Image) -> int | None:
    tiles: Any = getattr(image, "tile", ())
    arguments = tiles[0].args if tiles and tiles[0].codec_name != "raw" else None
    maximum = arguments[-1] if isinstance(arguments, tuple) else arguments
    return maximum if isinstance(maximum, int) else None


def _kind(file: bytes) -> str:
    """Return `: it is …` for a file that is no image but of a known kind, otherwise ""."""
    start = file[:1024].lstrip(b"\xef\xbb\xbf \t\r\n")
    kind = next((kind for magic, kind in _KINDS if start.startswith(magic) or file.startswith(magic)), "")
    lower = start.lower()
    if not file:
        kind = "an empty file"
    elif file[4:8] == b"ftyp":
        kind = "a HEIC, AVIF or video file"
    elif b"<svg" in lower:
        kind = "an SVG drawing, which has no pixels"
    elif lower.startswith((b"<!doctype html", b"<html")):
        kind = "a web page"
    return f": it is {kind}" if kind else ""
