"""The codec of Label Studio's brush masks: thi.ng/rle-pack over RGBA bytes; a pixel of the mask is four equal bytes.

The bit stream, most significant bit first: the number of bytes (32 bits), the bits per value minus one (5), four run
sizes minus one (4 bits each), and then chunks. A chunk is 1 for a run or 0 for literals (1 bit), the index of the run
size (2 bits), the count minus one (as many bits as the run size), and one value for a run, `count` values for literals.
"""

from array import array
from functools import lru_cache
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from sam_backend.arrays import BoolArray
from sam_backend.errors import BadRequestError
from sam_backend.labelstudio.mask_runs import MaskRuns
from sam_backend.samples import Cropped

_CHANNELS = 4
_VALUE_BITS = 8
_MAX_COUNT_BITS = 16
_HEADER_BITS = 32 + 5 + 4 * 4
_ONE = array("I", [1])
_BREAKS_OFF = "The brush mask breaks off before its last pixel; was it cut short on the way?"


def encode_rle(mask: BoolArray | Cropped) -> list[int]:
    """Encode a mask, bool (H, W) or Cropped, as a brush of Label Studio: 255 in all four channels where it is true.

    Returns
    -------
    list of int
        The bytes of the bit stream, 0-255. The four run sizes are chosen for this mask, so that the stream is the
        shortest one without literals. A mask never needs literals, since its runs have at least four bytes.
    """
    runs = MaskRuns.of_mask(mask)
    lengths, values = _chunks(runs)
    counts = lengths * _CHANNELS - 1
    needed = _bit_length(counts)
    sizes = _best_sizes(np.bincount(needed, minlength=_MAX_COUNT_BITS + 1)[1:])
    which = np.searchsorted(sizes, needed)
    size = np.asarray(sizes)[which]

    codes = ((0b100 | which) << size | counts) << _VALUE_BITS | values
    widths = 3 + size + _VALUE_BITS
    header = runs.size[0] * runs.size[1] * _CHANNELS
    for value, width in ((_VALUE_BITS - 1, 5), *((size - 1, 4) for size in sizes)):
        header = header << width | value
    header_bits = np.unpackbits(np.frombuffer(header.to_bytes(7, "big"), np.uint8))[-_HEADER_BITS:]
    # Every code is left-aligned in 32 bits, so that its bits are the first `width` bits of its row.
    rows = np.unpackbits((codes << 32 - widths).astype(">u4").view(np.uint8)).reshape(-1, 32)
    bits = rows[np.arange(32) < widths[:, None]]
    packed: list[int] = np.packbits(np.concatenate([header_bits, bits])).tolist()
    return packed


def decode_rle(rle: list[int], size: tuple[int, int]) -> BoolArray:
    """Decode a brush of Label Studio.

    Parameters
    ----------
    rle : list of int, the bytes of the bit stream, 0-255.
    size : (H, W) of the image in pixels.

    Returns
    -------
    bool (H, W)
        True where alpha is 128 or more.

    Raises
    ------
    BadRequestError
        If the bytes are not such a stream, or belong to an image of another size.
    """
    lengths, opaque = _read_pixels(rle, size)
    return np.repeat(opaque, lengths).reshape(size)


def decode_runs(rle: list[int], size: tuple[int, int]) -> MaskRuns:
    """Decode a brush of Label Studio to its runs; parameters and errors as of `decode_rle`."""
    lengths, opaque = _read_pixels(rle, size)
    ends = np.cumsum(lengths)
    starts, stops = (ends - lengths)[opaque], ends[opaque]
    kept = stops > starts
    starts, stops = starts[kept], stops[kept]
    # A run of pixels may come as several runs of the stream.
    first = np.concatenate([[True], starts[1:] != stops[:-1]]) if len(starts) else np.zeros(0, np.bool_)
    last = np.concatenate([first[1:], [True]]) if len(starts) else first
    return MaskRuns(size, starts[first], stops[last])


def _read_pixels(rle: list[int], size: tuple[int, int]) -> tuple[NDArray[np.int64], BoolArray]:
    """Return the lengths in pixels of the runs of the stream, and whether each is opaque; errors as of `decode_rle`."""
    height, width = size
    expected = height * width * _CHANNELS
    try:
        data = bytes(list(rle))
    except (TypeError, ValueError) as error:
        raise BadRequestError("A brush mask is a list of bytes from 0 to 255; got something else.") from error
    total = int.from_bytes(data[:4], "big")
    if len(data) < 7 or total != expected:
        raise BadRequestError(
            f"The brush mask holds {total} bytes, but an image of {width} x {height} pixels needs {expected}; "
            "was it drawn on another image?"
        )
    # The longest run has 2**16 bytes: a short list that claims many pixels is refused before it is read.
    if (len(data) * 8 - _HEADER_BITS) << _MAX_COUNT_BITS < total * (3 + 1 + _VALUE_BITS):
        raise BadRequestError(_BREAKS_OFF)
    lengths, values = _read_chunks(data, total)
    # Alpha is every fourth byte, so the first n bytes contain n // 4 alpha bytes.
    opaque = np.frombuffer(values, np.uint8) >= 128
    return np.diff(np.cumsum(lengths) // _CHANNELS, prepend=0), opaque


def _chunks(runs: MaskRuns) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the lengths in pixels and the values (0 or 255) of the stream's runs; one has at most 2**16 bytes."""
    edges = np.column_stack([runs.starts, runs.stops]).ravel()
    lengths = np.diff(edges, prepend=0, append=runs.size[0] * runs.size[1])
    values = np.arange(len(lengths)) % 2 * np.int64(255)
    lengths, values = lengths[lengths > 0], values[lengths > 0]
    longest = (1 << _MAX_COUNT_BITS) // _CHANNELS
    pieces = (lengths + longest - 1) // longest
    last = np.cumsum(pieces) - 1
    split = np.full(int(pieces.sum()), longest, np.int64)
    split[last] = lengths - (pieces - 1) * longest
    return split, np.repeat(values, pieces)


def _bit_length(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the number of bits of every count, at least 1."""
    exponents: NDArray[np.int64] = np.frexp(counts.astype(np.float64))[1].astype(np.int64)
    return np.maximum(exponents, 1)


@lru_cache
def _size_choices() -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return all sets of four run sizes up to 16 (C, 4), and each set's size for every bit length 1-16 (C, 16)."""
    sizes = np.array([(*three, _MAX_COUNT_BITS) for three in combinations(range(1, _MAX_COUNT_BITS), 3)], np.int64)
    needed = np.arange(1, _MAX_COUNT_BITS + 1)
    fits = sizes[:, None, :] >= needed[None, :, None]
    return sizes, np.where(fits, sizes[:, None, :], _MAX_COUNT_BITS).min(axis=2)


def _best_sizes(histogram: NDArray[np.int64]) -> list[int]:
    """Choose the four run sizes with the fewest bits in total, given how many counts need 1, 2, ... 16 bits."""
    sizes, spent = _size_choices()
    best: list[int] = sizes[int(np.argmin(spent @ histogram))].tolist()
    return best


def _read_chunks(data: bytes, total: int) -> tuple[NDArray[np.int64], bytes]:
    """Return the lengths and the values of all runs and literals (length 1) of the stream."""
    end = len(data) * 8
    padded = data + bytes(8)

    def read(position: int, width: int) -> int:
        first = position >> 3
        window = int.from_bytes(padded[first : first + 4], "big")
        return window >> (32 - width - (position & 7)) & ((1 << width) - 1)

    if read(32, 5) + 1 != _VALUE_BITS:
        raise BadRequestError("A brush mask has values of 8 bits; this one is packed otherwise or damaged.")
    sizes = [read(position, 4) + 1 for position in range(37, _HEADER_BITS, 4)]
    lengths = array("I")
    values = bytearray()
    position, filled = _HEADER_BITS, 0
    while filled < total:
        kind = read(position, 3)
        size = sizes[kind & 3]
        count = read(position + 3, size) + 1
        position += 3 + size
        if kind >> 2:
            lengths.append(count)
            values.append(read(position, _VALUE_BITS))
            position += _VALUE_BITS
        else:
            lengths.extend(_ONE * count)
            stop = position + count * _VALUE_BITS
            window = int.from_bytes(padded[position >> 3 : (stop + 7) >> 3], "big") >> (-stop & 7)
            values += (window & ((1 << count * _VALUE_BITS) - 1)).to_bytes(count, "big")
            position = stop
        filled += count
        if position > end:
            raise BadRequestError(_BREAKS_OFF)
    if filled != total:
        raise BadRequestError("The brush mask's last run goes beyond its last pixel; it is damaged.")
    return np.frombuffer(lengths, np.uint32).astype(np.int64), bytes(values)
