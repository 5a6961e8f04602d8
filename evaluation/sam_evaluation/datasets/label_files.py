"""Mask files -> label maps: every value as it is in the file, or an error that says why it cannot be one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sam_backend.errors import SamInspectError
from sam_backend.segmenters.image_headers import (
    bits_per_sample,
    has_deep_colours,
    open_image,
    reason,
    stretched_maximum,
)
from sam_backend.segmenters.image_values import DecodedImage, decode_values, turned
from sam_evaluation.datasets.pixel_values import colour_name, colours_of, distinct_values, row_blocks
from sam_evaluation.datasets.sample_files import max_pixels
from sam_evaluation.errors import BrokenSampleError

_LARGEST_FLOAT = 2**24
"""Up to here a float of 32 bits holds every whole number."""

_PLACES = np.array([1 << 16, 1 << 8, 1], np.int32)
_LOSSY_TIFF = ("jpeg", "tiff_jpeg", "webp")
_SAMPLE_FORMAT, _SUBFILE = 339, 254
_UNSIGNED, _REDUCED = 1, 1


@dataclass(frozen=True, eq=False)
class MaskFile:
    """The content of a mask file.

    Attributes
    ----------
    decoded : DecodedImage, its values.
    image : Image, its header.
    maximum : int or None, see `stretched_maximum`.
    """

    decoded: DecodedImage
    image: Image.Image
    maximum: int | None


def read_labels(path: Path) -> NDArray[np.integer]:
    """Return a label map (H, W) of uint8, uint16, int32 or uint32, turned as its EXIF orientation says.

    The values are those of the file: bits are 0 and 1, palettes give their indices, and floats must be whole numbers.
    Grey pixels of a file with colours have their grey level, and other colours the number of `colours_of`. Where all
    pixels have one colour, the label is the alpha channel. Transparent pixels are background.

    Raises
    ------
    BrokenSampleError
        If it is missing or cannot be read, is too large or compressed with loss, has several pages, or if its values
        are no labels.
    """
    return labels_of(decode_mask(path), path)


def labels_of(mask: MaskFile, path: Path) -> NDArray[np.integer]:
    """Return the label map of a mask file that is decoded; see `read_labels`."""
    try:
        labels = _labels(mask)
    except ValueError as error:
        raise BrokenSampleError(f"The mask {path} {error}.") from None
    return turned(labels, mask.decoded.orientation)


def packed_colours(mask: MaskFile, path: Path) -> NDArray[np.int32]:
    """Return the colours, 0xRRGGBB (H, W), of a mask file with a palette or with colours.

    Raises
    ------
    BrokenSampleError
        If it has transparent pixels, or neither palette nor colours.
    """
    decoded = mask.decoded
    values, palette = decoded.values, decoded.palette
    if decoded.mode == "P" and palette is not None:
        is_clear = any(alpha < 255 for alpha in _alphas(mask)[distinct_values(values)])
        table = palette.astype(np.int32) @ _PLACES
    elif decoded.mode in ("RGB", "RGBX", "RGBA", "LA"):
        is_clear = decoded.mode in ("RGBA", "LA") and int(values[..., 3].min(initial=255)) < 255
    else:
        raise BrokenSampleError(f"The mask {path} has pixels of the kind {decoded.mode}; save colours or a palette.")
    if is_clear:
        raise BrokenSampleError(f"The mask {path} has transparent pixels, whose class is not known; fill them.")
    packed = np.empty(values.shape[:2], np.int32)
    for rows in row_blocks(values):
        packed[rows] = table[values[rows]] if decoded.mode == "P" else values[rows][..., :3].astype(np.int32) @ _PLACES
    return turned(packed, decoded.orientation)


def _alphas(mask: MaskFile) -> NDArray[np.uint8]:
    """Return the alpha, uint8 (256,), of each index of a palette."""
    transparency = mask.image.info.get("transparency", b"")
    if isinstance(transparency, int):
        transparency = b"\xff" * transparency + b"\0"
    return np.frombuffer(transparency[:256].ljust(256, b"\xff"), np.uint8)


def decode_mask(path: Path) -> MaskFile:
    """Return the content of a mask file; errors as of `read_labels`."""
    name = f"The mask {path}"
    try:
        file = path.read_bytes()
    except FileNotFoundError:
        raise BrokenSampleError(f"{name} is missing.") from None
    except OSError as error:
        raise BrokenSampleError(f"{name} cannot be read: {error.strerror}.") from None
    try:
        image = open_image(file, "It", max_pixels=max_pixels())
    except SamInspectError as error:
        raise BrokenSampleError(f"{name} cannot be read. {error}") from None
    lossy = _lossy_kind(image, file)
    if lossy:
        raise BrokenSampleError(f"{name} is a {lossy}, which changes values at edges; save masks as PNG.")
    if has_deep_colours(image, file):
        raise BrokenSampleError(f"{name} has several channels of more than 8 bits; save one channel.")
    try:
        if has_more_pages(image):
            raise BrokenSampleError(f"{name} has several pages or frames; save each mask as a file of its own.")
        maximum = stretched_maximum(image, file)
        return MaskFile(decode_values(image), image, maximum)
    except BrokenSampleError:
        raise
    except MemoryError:
        raise BrokenSampleError(f"{name} needs more memory than this machine has free.") from None
    # Pillow's decoders raise almost anything on broken content.
    except Exception as error:
        raise BrokenSampleError(f"{name} cannot be read ({reason(error)}).") from None


def _lossy_kind(image: Image.Image, file: bytes) -> str:
    if image.format in ("JPEG", "JPEG2000"):
        return "JPEG" if image.format == "JPEG" else "JPEG 2000"
    if image.format == "WEBP" and b"VP8 " in (file[12:16], *_webp_chunks(file)):
        return "WebP with loss"
    return "TIFF that is compressed as JPEG" if image.info.get("compression") in _LOSSY_TIFF else ""


def _webp_chunks(file: bytes) -> list[bytes]:
    chunks, position = [], 12
    while position + 8 <= len(file):
        chunks.append(file[position : position + 4])
        position += 8 + int.from_bytes(file[position + 4 : position + 8], "little") + 1 & ~1
    return chunks


def has_more_pages(image: Image.Image) -> bool:
    """Return whether there is a second page or frame that is no smaller copy of the first."""
    if not getattr(image, "is_animated", False):
        return False
    image.seek(1)
    is_copy = getattr(image, "tag_v2", {}).get(_SUBFILE, 0) == _REDUCED
    image.seek(0)
    return not is_copy


def _labels(mask: MaskFile) -> NDArray[Any]:
    values, mode = mask.decoded.values, mask.decoded.mode
    if mode == "1":
        values[values > 1] = 1
        return values
    if mode == "P":
        _check_palette(mask)
        return values
    if mode == "F":
        return _whole_numbers(values)
    if mode == "I":
        return _integers(mask)
    if mode.startswith("I;16"):
        native: NDArray[Any] = values.astype(np.uint16, copy=False)
        return native
    if mode == "L":
        return _unstretched(values, mask.maximum, 255)
    if mode in ("RGB", "RGBX"):
        return colours_of(values[..., :3])
    if mode in ("RGBA", "LA"):
        return _of_alpha(values)
    raise ValueError(f"has pixels of the kind {mode}; save one channel, or red, green and blue")


def _unstretched(values: NDArray[Any], maximum: int | None, stretched_to: int) -> NDArray[Any]:
    """Return the values of the file: Pillow stretches 2 and 4 bits to 8, and the maximum of a PPM to 255 or 65535."""
    if maximum is not None and maximum != stretched_to:
        for rows in row_blocks(values):
            values[rows] = np.rint(values[rows] * (maximum / stretched_to))
    return values


def _integers(mask: MaskFile) -> NDArray[Any]:
    values = mask.decoded.values
    tags: Any = getattr(mask.image, "tag_v2", {})
    if bits_per_sample(mask.image)[0] == 32 and tags.get(_SAMPLE_FORMAT, (_UNSIGNED,))[0] == _UNSIGNED:
        return values.view(np.uint32)
    if values.size and values.min() < 0:
        raise ValueError(f"holds the value {values.min()}; labels are 0 or more")
    return _unstretched(values, mask.maximum, 65535)


def _whole_numbers(values: NDArray[np.float32]) -> NDArray[np.int32]:
    labels = np.empty(values.shape, np.int32)
    for rows in row_blocks(values):
        block = values[rows]
        wrong = ~np.isfinite(block)
        if wrong.any():
            raise ValueError("holds pixels that are NaN or infinite; labels are whole numbers")
        wrong = (block < 0) | (block != np.rint(block)) | (block > _LARGEST_FLOAT)
        if wrong.any():
            raise ValueError(
                f"holds floats such as {block[wrong][0]:g}; labels are whole numbers from 0 to {_LARGEST_FLOAT:,}: "
                "apply the threshold, and save the mask with 8 or 16 bits"
            )
        labels[rows] = block
    return labels


def _check_palette(mask: MaskFile) -> None:
    """Refuse a palette whose background is plainly not the index 0."""
    decoded = mask.decoded
    used = distinct_values(decoded.values).tolist()
    clear = [index for index in used if index and not _alphas(mask)[index]]
    if clear:
        raise ValueError(
            f"has a palette whose index {clear[0]} is transparent, but the background of a mask is index 0; save it "
            "with 0 as the background"
        )
    if decoded.palette is None or 0 not in used:
        return
    colours = {index: tuple(decoded.palette[index].tolist()) for index in used}
    plain = [index for index in used if colours[index] in ((0, 0, 0), (255, 255, 255))]
    if plain and len(set(colours[0])) > 1:
        raise ValueError(
            f"has a palette whose index 0 is the colour {colour_name(colours[0])} and whose index {plain[0]} is "
            f"{colour_name(colours[plain[0]])}; the background of a mask is index 0: save it with 0 as the background"
        )


def _of_alpha(values: NDArray[np.uint8]) -> NDArray[Any]:
    pixels = distinct_values(values.view("<u4")[..., 0])
    colours, alphas = pixels & 0xFFFFFF, pixels >> 24
    if (alphas == 255).all():
        return colours_of(values[..., :3])
    if len(np.unique(colours)) == 1:
        return np.ascontiguousarray(values[..., 3])
    if ((alphas > 0) & (alphas < 255)).any():
        raise ValueError("has half-transparent pixels of several colours; save one channel of whole values")
    opaque = set(colours[alphas == 255].tolist())
    if opaque == {0}:
        return np.ascontiguousarray(values[..., 3])
    if 0 in opaque:
        raise ValueError("has black pixels and transparent ones, so that its background is not known; save one channel")
    for rows in row_blocks(values):
        values[rows][values[rows][..., 3] == 0] = 0
    return colours_of(values[..., :3])
