"""Image files of any depth and colours -> pixels as uint8 RGB, turned by EXIF."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

from sam_backend.arrays import ImageArray
from sam_backend.errors import BadRequestError
from sam_backend.segmenters.image_headers import broken, check_memory, choose_page, has_deep_colours, open_image
from sam_backend.segmenters.image_reader import Part, PixelReader
from sam_backend.segmenters.image_values import ONE_CHANNEL, RGB_FIRST, DecodedImage, decode_values, row_blocks, turned
from sam_backend.segmenters.value_window import ValueWindow

_SIDEWAYS = (5, 6, 7, 8)
_PLAIN = ("1", "L", "RGB", "RGBX")


class FileReader:
    """An `ImageReader` of a file in memory; it is decoded at the first use, a JPEG only as far as it is needed.

    Parameters
    ----------
    file : bytes, the whole file.
    name : str, the image's name in messages.
    max_pixels : int, an image with more pixels is refused before it is decoded; see `open_image`.
    page : int, the page of a TIFF or the frame of an animation, from 1 on; None where there is one, see `choose_page`.

    Raises
    ------
    BadRequestError
        If it is not an image, too large, or has other pages; reading raises it if the content is broken.
    """

    def __init__(self, file: bytes, name: str, *, max_pixels: int, page: int | None = None) -> None:
        self.file = file
        self.page = page
        self._name = name
        self._max_pixels = max_pixels
        self._pixels: PixelReader | None = None
        self._lock = threading.Lock()
        image = self._open()
        self._width, self._height = image.size
        self._channels = 1 if image.mode in ONE_CHANNEL and image.mode != "P" else 3
        self._scalable = image.format == "JPEG" and not has_deep_colours(image, file)
        self._turned = self._scalable and image.getexif().get(ExifTags.Base.Orientation, 1) in _SIDEWAYS

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels, turned as EXIF says."""
        if not self._scalable:
            # Only the whole file tells its orientation.
            return self.whole().size
        return (self._width, self._height) if self._turned else (self._height, self._width)

    @cached_property
    def digest(self) -> str:
        """See `ImageReader.digest`."""
        return file_digest(self.file, self.page)

    @property
    def mapping(self) -> str:
        """See `ImageReader.mapping`."""
        return self.whole().mapping

    @property
    def nbytes(self) -> int:
        """Bytes of the file and of its pixels."""
        return len(self.file) + self.pixel_count * self._channels

    @property
    def pixel_count(self) -> int:
        """Number of pixels, from the header."""
        return self._width * self._height

    def part(self, part: Part) -> ImageArray:
        """Return a part at its own resolution, see `ImageReader.part`."""
        return self.whole().part(part)

    def shrunk(self, side: int) -> ImageArray:
        """Return all of the image, see `ImageReader.shrunk`; a JPEG is decoded at a half, a quarter or an eighth."""
        if self._pixels is None and self._scalable and max(self._width, self._height) >= 2 * side:
            image = self._open()
            # The shorter side asks for no more than the longer one.
            image.draft(None, (side, 1) if self._width >= self._height else (1, side))
            return PixelReader(*self._decode(image), "").rgb()
        return self.whole().shrunk(side)

    def whole(self) -> PixelReader:
        """Return the decoded image; it is kept for the next time."""
        with self._lock:
            if self._pixels is None:
                self._pixels = PixelReader(*self._decode(self._open()), self.digest)
            return self._pixels

    def _open(self) -> Image.Image:
        image = open_image(self.file, self._name, max_pixels=self._max_pixels)
        choose_page(image, self._name, self.page)
        check_memory(image, self.file, self._name, self._max_pixels)
        return image

    def _decode(self, image: Image.Image) -> tuple[NDArray[np.uint8], str]:
        """Return the pixels, uint8 RGB (H, W, 3) or grey levels (H, W), turned, and their mapping."""
        try:
            if has_deep_colours(image, self.file):
                pixels, mapping = _decode_deep_colour(self.file, (self.page or 1) - 1)
            else:
                decoded = decode_values(image)
                pixels, mapping = _eight_bits(decoded)
                pixels = turned(pixels, decoded.orientation)
            page = f"page {self.page}" if self.page is not None else ""
            return pixels, ", ".join(filter(None, (page, mapping)))
        except MemoryError:
            raise BadRequestError(
                f"{self._name} needs more memory than this machine has free; make the image smaller."
            ) from None
        # Pillow's decoders also raise SyntaxError and struct.error on broken content.
        except Exception as error:
            raise broken(self._name, error) from None


def file_digest(file: bytes, page: int | None = None) -> str:
    """Return the SHA-256 of a file, 64 hex digits, with the page after it where one is chosen."""
    return hashlib.sha256(file).hexdigest() + (f"-{page}" if page is not None else "")


def decode_image(file: bytes, name: str, *, max_pixels: int) -> ImageArray:
    """Decode a file to uint8 RGB (H, W, 3), turned by its EXIF orientation; of an animation, the first frame.

    Greyscale, palette and transparent images become RGB, without their transparency. Images with more than 8 bits a
    channel are mapped linearly to 8 bits, see `ValueWindow`.

    Beside the file, decoding takes about 4 bytes a pixel, and 6 for images that are turned.

    Parameters
    ----------
    file : bytes, the whole file.
    name : str, the image's name in messages.
    max_pixels : int, an image with more pixels is refused before it is decoded; see `open_image`.

    Raises
    ------
    BadRequestError
        If it is not an image, truncated, a stack of pages, or too large.
    """
    return FileReader(file, name, max_pixels=max_pixels).whole().rgb()


def _eight_bits(decoded: DecodedImage) -> tuple[NDArray[np.uint8], str]:
    """Return pixels, uint8 RGB (H, W, 3) or grey levels (H, W), and how the values became them."""
    convert, channels, mapping = _conversion(decoded)
    width, height = decoded.size
    if convert is None:
        return decoded.values, mapping
    row = width * channels
    in_place = len(decoded.memory) >= height * row
    pixels = decoded.memory if in_place else np.empty(height * row, np.uint8)
    # In place, a row is written where rows before it were, since it becomes shorter.
    for rows in row_blocks(height, width):
        pixels[rows.start * row : rows.stop * row] = convert(decoded.values[rows]).reshape(-1)
    if in_place:
        # No view of the memory is left: `decoded.values` makes new ones.
        pixels.resize(height * row, refcheck=False)
    return pixels.reshape((height, width, 3) if channels == 3 else (height, width)), mapping


_Conversion = Callable[[NDArray[Any]], NDArray[np.uint8]]


def _conversion(decoded: DecodedImage) -> tuple[_Conversion | None, int, str]:
    """Return what makes rows of the values uint8, or None; the channels of its result, and the mapping in words."""
    mode, palette = decoded.mode, decoded.palette
    if mode in RGB_FIRST:
        mapping = "" if mode in _PLAIN else "transparency ignored"
        return (lambda rows: cv2.cvtColor(rows, cv2.COLOR_RGBA2RGB)), 3, mapping
    if palette is not None:
        mapping = "palette to RGB" + ", transparency ignored" * (mode == "PA")
        return (lambda rows: palette[rows if rows.ndim == 2 else rows[..., 0]]), 3, mapping
    if mode in _PLAIN:
        return None, 1, ""
    if mode in ONE_CHANNEL:
        window = ValueWindow.of_values(decoded.values)
        return window.map, 1, window.in_words(decoded.values.dtype)
    bands = Image.getmodebands(mode)

    def to_rgb(rows: NDArray[Any]) -> NDArray[np.uint8]:
        size = rows.shape[1], rows.shape[0]
        return np.asarray(Image.frombytes(mode, size, rows[..., :bands].tobytes()).convert("RGB"))

    return to_rgb, 3, f"{mode} to RGB"


def _decode_deep_colour(file: bytes, page: int) -> tuple[ImageArray, str]:
    flags = cv2.IMREAD_ANYDEPTH | cv2.IMREAD_COLOR
    pages: Sequence[Any] = [cv2.imdecode(np.frombuffer(file, np.uint8), flags)]
    if page:
        _, pages = cv2.imdecodemulti(np.frombuffer(file, np.uint8), flags, range=(page, page + 1))
    if not pages or pages[0] is None:
        raise ValueError("the decoder gave up")
    decoded = pages[0]
    window = ValueWindow.of_values(decoded)
    pixels = np.empty(decoded.shape, np.uint8)
    for rows in row_blocks(*decoded.shape[:2]):
        pixels[rows] = window.map(decoded[rows])[..., ::-1]
    return pixels, window.in_words(decoded.dtype)
