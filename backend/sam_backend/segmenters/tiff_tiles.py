"""Where the tiles of a TIFF lie, at each of its resolutions, and how one is decoded without the others."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from itertools import islice
from typing import Any

import cv2
import numpy as np
import tifffile
from numpy.typing import NDArray

LARGEST_TILE = 1 << 24
"""Most pixels of a tile or a strip, since one is decoded as a whole."""

_PAGES_LOOKED_AT = 64
_COMPRESSIONS = (1, 5, 7, 8, 32773, 32946)
"""None, LZW, JPEG, Deflate, PackBits, Deflate by its old number: what OpenCV decodes everywhere."""
_DEFLATE = (8, 32946)
_GREY, _COLOURS = 1, (2, 6)
_KINDS = ("uint8", "uint16", "float32")
_SHORT, _LONG, _UNDEFINED = 3, 4, 7
_COMPRESSION = 259


@dataclass(frozen=True, eq=False)
class TiffLevel:
    """An image in a TIFF, at one resolution.

    Attributes
    ----------
    size : (H, W) in pixels.
    tile : (h, w) in pixels of a tile, or of a strip over the whole width.
    offsets, counts : for each tile, row by row, its first byte in the file and its bytes; an empty tile has none.
    kind : dtype of the values.
    channels : int, 1 or 3.
    tags : code -> (type, values), all that decoding a tile needs.
    byteorder : "<" or ">".
    """

    size: tuple[int, int]
    tile: tuple[int, int]
    offsets: tuple[int, ...]
    counts: tuple[int, ...]
    kind: np.dtype[Any]
    channels: int
    tags: dict[int, tuple[int, tuple[int, ...] | bytes]]
    byteorder: str

    @property
    def compression(self) -> int:
        """The compression of its tiles, as TIFF numbers them."""
        return int(self.tags[_COMPRESSION][1][0])

    @property
    def across(self) -> int:
        """Tiles beside each other."""
        return -(-self.size[1] // self.tile[1])

    @property
    def end(self) -> int:
        """Bytes that the file must have."""
        ends = (start + count for start, count in zip(self.offsets, self.counts, strict=True) if count)
        return max(ends, default=0)

    def decode(self, file: memoryview, index: int) -> NDArray[Any]:
        """Return the values (h, w) or (h, w, 3) of a tile, without those beyond the image.

        Raises
        ------
        ValueError
            If it cannot be decoded.
        """
        row, column = divmod(index, self.across)
        rows, columns = min(self.tile[0], self.size[0] - row * self.tile[0]), self.size[1] - column * self.tile[1]
        shape = (rows, min(self.tile[1], columns)) + (3,) * (self.channels == 3)
        start, count = self.offsets[index], self.counts[index]
        if not count:
            return np.zeros(shape, self.kind)
        if start + count > len(file):
            raise ValueError("a tile lies beyond its end")
        is_strip = self.tile[1] == self.size[1]
        rows_stored = rows if is_strip else self.tile[0]
        data = bytes(file[start : start + count])
        if self.compression in _DEFLATE:
            data = _checked(data, rows_stored * self.tile[1] * self.channels * self.kind.itemsize)
        single = self._single(data, rows_stored)
        values: NDArray[Any] | None = cv2.imdecode(np.frombuffer(single, np.uint8), cv2.IMREAD_UNCHANGED)
        if values is None or values.dtype != self.kind or values.ndim != len(shape):
            raise ValueError("a tile cannot be decoded")
        shown = values[:rows, :columns]
        return shown[..., ::-1] if self.channels == 3 else shown

    def _single(self, data: bytes, rows: int) -> bytes:
        """Return a TIFF whose only strip is the data of a tile."""
        place = {256: self.tile[1], 257: rows, 273: 8, 278: rows, 279: len(data)}
        tags = dict(self.tags) | {code: (_LONG, (value,)) for code, value in place.items()}
        end, order = 8 + len(data) + len(data) % 2, self.byteorder
        entries, beyond = [], b""
        after = end + 2 + 12 * len(tags) + 4
        for code, (kind, values) in sorted(tags.items()):
            form = {_SHORT: "H", _LONG: "I", _UNDEFINED: "B"}[kind]
            packed = struct.pack(f"{order}{len(values)}{form}", *values)
            if len(packed) > 4:
                where = struct.pack(f"{order}I", after + len(beyond))
                beyond += packed + bytes(len(packed) % 2)
            else:
                where = packed.ljust(4, b"\0")
            entries.append(struct.pack(f"{order}HHI", code, kind, len(values)) + where)
        head = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HI", 42, end)
        folder = struct.pack(f"{order}H", len(entries)) + b"".join(entries) + bytes(4)
        return head + data + bytes(len(data) % 2) + folder + beyond


def tiff_levels(tiff: tifffile.TiffFile, page: int | None) -> list[TiffLevel]:
    """Return the resolutions of an image, the largest first; none where it cannot be read tile by tile.

    Parameters
    ----------
    tiff : TiffFile.
    page : int, from 1 on. None for the only one; smaller pages of the same form are its other resolutions.
    """
    pages = list(islice(tiff.pages, _PAGES_LOOKED_AT)) if page is None else [tiff.pages[page - 1]]
    first = pages[0]
    if not _is_readable(first) or any(_size(other) == _size(first) for other in pages[1:]):
        return []
    smaller = [other for other in (*(first.pages or ()), *pages[1:]) if _is_level_of(other, first)]
    return [_level(one, tiff.byteorder) for one in (first, *sorted(smaller, key=_size, reverse=True))]


def _checked(data: bytes, size: int) -> bytes:
    """Return a tile of Deflate, of `size` bytes, stored without compression; OpenCV would pass over a damaged one."""
    stream = zlib.decompressobj()
    try:
        # One byte more, so that the checksum at the end is read, too.
        values = stream.decompress(data, size + 1)
    except zlib.error as error:
        raise ValueError("a tile cannot be decoded") from error
    if len(values) < size and not stream.eof:
        raise ValueError("a tile breaks off")
    return zlib.compress(values, 0)


def _is_readable(page: Any) -> bool:
    rows, columns = _tile(page)
    tile = rows * columns
    tiles = -(-page.imagelength // max(rows, 1)) * -(-page.imagewidth // max(columns, 1))
    forms = {1: (_GREY,), 3: _COLOURS}
    return (
        page.compression in _COMPRESSIONS
        and page.photometric in forms.get(page.samplesperpixel, ())
        and str(page.dtype) in (_KINDS if page.samplesperpixel == 1 else _KINDS[:2])
        and (page.samplesperpixel == 1 or page.planarconfig == 1)
        and page.predictor in (1, 2)
        and page.imagedepth == 1
        and not ("Orientation" in page.tags and page.tags["Orientation"].value != 1)
        and 0 < tile <= LARGEST_TILE
        and len(page.dataoffsets) == len(page.databytecounts) == tiles
    )


def _is_level_of(page: Any, first: Any) -> bool:
    if not isinstance(page, tifffile.TiffPage) or not _is_readable(page):
        return False
    (height, width), (full_height, full_width) = _size(page), _size(first)
    # Halved sides are rounded at each level.
    alike = abs(height * full_width - width * full_height) <= 2 * max(full_height, full_width)
    same = (page.dtype, page.samplesperpixel) == (first.dtype, first.samplesperpixel)
    return height < full_height and alike and same


def _level(page: Any, byteorder: str) -> TiffLevel:
    channels = int(page.samplesperpixel)
    tags: dict[int, tuple[int, tuple[int, ...] | bytes]] = {
        258: (_SHORT, (8 * page.dtype.itemsize,) * channels),
        _COMPRESSION: (_SHORT, (int(page.compression),)),
        262: (_SHORT, (int(page.photometric),)),
        277: (_SHORT, (channels,)),
        284: (_SHORT, (1,)),
        317: (_SHORT, (int(page.predictor),)),
        339: (_SHORT, (3 if page.dtype.kind == "f" else 1,) * channels),
    }
    if page.jpegtables is not None:
        tags[347] = (_UNDEFINED, bytes(page.jpegtables))
    if "YCbCrSubSampling" in page.tags:
        tags[530] = (_SHORT, tuple(page.tags["YCbCrSubSampling"].value))
    return TiffLevel(
        _size(page),
        _tile(page),
        tuple(page.dataoffsets),
        tuple(page.databytecounts),
        page.dtype,
        channels,
        tags,
        byteorder,
    )


def _tile(page: Any) -> tuple[int, int]:
    if page.is_tiled:
        return page.tilelength, page.tilewidth
    return min(page.rowsperstrip, page.imagelength), page.imagewidth


def _size(page: Any) -> tuple[int, int]:
    return page.imagelength, page.imagewidth
