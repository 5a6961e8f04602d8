"""Large TIFF files, BigTIFF and pyramids too: only the tiles that are asked for are read."""

from __future__ import annotations

import hashlib
import io
import threading
from functools import cached_property
from mmap import mmap
from typing import IO, Any, cast

import cv2
import numpy as np
import tifffile
from cachetools import LRUCache
from numpy.typing import NDArray

from sam_backend.arrays import ImageArray
from sam_backend.segmenters.image_headers import broken
from sam_backend.segmenters.image_reader import Part, rgb
from sam_backend.segmenters.tiff_tiles import TiffLevel, tiff_levels
from sam_backend.segmenters.value_window import ValueWindow

_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_KEPT_BYTES = 64 * 2**20
_SAMPLED_TILES, _SAMPLED_VALUES = 64, 1 << 15
_BLOCK_BYTES = 1 << 24
_BAND_PIXELS = 1 << 24


class TiledTiffReader:
    """An `ImageReader` of the tiles or strips of a TIFF: grey levels or RGB of 8 or 16 bits, or grey levels as floats.

    Values of more than 8 bits are mapped by the window of some tiles, regularly taken, see `ValueWindow`.

    Parameters
    ----------
    file : bytes or mmap, the whole file; a mapped one is read from the disk as far as it is needed.
    name : str, the image's name in messages.
    levels : the image's resolutions, the largest first.
    page : int, part of the digest.
    """

    def __init__(self, file: bytes | mmap, name: str, levels: list[TiffLevel], page: int | None = None) -> None:
        self._file = memoryview(file)
        self._name = name
        self._levels = levels
        self._page = page
        self._tiles: LRUCache[tuple[int, int], NDArray[np.uint8]] = LRUCache(_KEPT_BYTES, lambda tile: tile.nbytes)
        self._lock = threading.Lock()

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self._levels[0].size

    @cached_property
    def digest(self) -> str:
        """See `ImageReader.digest`."""
        digest = hashlib.blake2b(digest_size=16, salt=str(self._page or 0).encode()[:16])
        for start in range(0, len(self._file), _BLOCK_BYTES):
            digest.update(self._file[start : start + _BLOCK_BYTES])
        return digest.hexdigest()

    @property
    def mapping(self) -> str:
        """See `ImageReader.mapping`."""
        return self._window.in_words(self._levels[0].kind) if self._window else ""

    @property
    def nbytes(self) -> int:
        """Bytes of the tiles that it keeps."""
        return _KEPT_BYTES

    def require_whole(self) -> None:
        """Raise BadRequestError if a tile lies beyond the end of the file."""
        if max(level.end for level in self._levels) > len(self._file):
            raise broken(self._name, ValueError("a tile lies beyond its end"))

    def part(self, part: Part) -> ImageArray:
        """Return a part at the image's own resolution, see `ImageReader.part`.

        Raises
        ------
        BadRequestError
            If a tile is damaged.
        """
        return rgb(self._read(0, part))

    def shrunk(self, side: int) -> ImageArray:
        """Return all of the image, see `ImageReader.shrunk`, from the smallest resolution that is large enough."""
        number = max(index for index, level in enumerate(self._levels) if not index or max(level.size) >= side)
        level = self._levels[number]
        height, width = level.size
        factor = max(max(level.size) // side, 1)
        out = max(1, round(height / factor)), max(1, round(width / factor))
        # By bands, because all of the image may not fit into memory.
        step = max(1, _BAND_PIXELS // width // factor)
        bands = []
        for first in range(0, out[0], step):
            last = min(first + step, out[0])
            rows = round(first * height / out[0]), round(last * height / out[0])
            band = self._read(number, (0, rows[0], width, rows[1]))
            bands.append(cv2.resize(band, (out[1], last - first), interpolation=cv2.INTER_AREA))
        return rgb(np.concatenate(bands))

    @cached_property
    def _window(self) -> ValueWindow | None:
        """The window of values of more than 8 bits; None for others."""
        level = self._levels[-1]
        if level.kind == np.uint8:
            return None
        step = max(1, len(level.offsets) // _SAMPLED_TILES)
        tiles = range(step // 2, len(level.offsets), step)
        values = (self._values(level, index).ravel() for index in tiles)
        sampled = np.concatenate([some[:: max(1, some.size // _SAMPLED_VALUES)] for some in values])
        try:
            return ValueWindow.of_values(sampled)
        except ValueError as error:
            raise broken(self._name, error) from None

    def _read(self, number: int, part: Part) -> NDArray[np.uint8]:
        """Return a part of one resolution, uint8 (h, w) or (h, w, 3)."""
        level = self._levels[number]
        left, top, right, bottom = part
        rows, columns = level.tile
        shape = (bottom - top, right - left) + (3,) * (level.channels == 3)
        pixels = np.zeros(shape, np.uint8)
        for row in range(top // rows, -(-bottom // rows)):
            for column in range(left // columns, -(-right // columns)):
                tile = self._tile(number, row * level.across + column)
                y, x = row * rows, column * columns
                high, wide = min(bottom, y + tile.shape[0]), min(right, x + tile.shape[1])
                low, near = max(top, y), max(left, x)
                pixels[low - top : high - top, near - left : wide - left] = tile[
                    low - y : high - y, near - x : wide - x
                ]
        return pixels

    def _tile(self, number: int, index: int) -> NDArray[np.uint8]:
        with self._lock:
            kept = self._tiles.get((number, index))
        if kept is not None:
            return kept
        values = self._values(self._levels[number], index)
        tile = np.ascontiguousarray(values if self._window is None else self._window.map(values))
        with self._lock:
            if tile.nbytes <= self._tiles.maxsize:
                self._tiles[number, index] = tile
        return tile

    def _values(self, level: TiffLevel, index: int) -> NDArray[Any]:
        try:
            return level.decode(self._file, index)
        except ValueError as error:
            raise broken(self._name, error) from None


def open_tiled_tiff(file: bytes | mmap, name: str, page: int | None = None) -> TiledTiffReader | None:
    """Return a reader of the tiles of a TIFF; None for a file that is decoded as a whole, or is no TIFF.

    Parameters
    ----------
    file : bytes or mmap, the whole file.
    name : str, the image's name in messages.
    page : int, from 1 on; None for the only page.
    """
    if file[:4] not in _MAGIC:
        return None
    try:
        stream = cast(IO[bytes], io.BytesIO(file) if isinstance(file, bytes) else file)
        with tifffile.TiffFile(stream) as tiff:
            levels = tiff_levels(tiff, page)
    # A damaged file raises almost anything; the reader of whole files says what is wrong with it.
    except Exception:
        return None
    return TiledTiffReader(file, name, levels, page) if levels else None
