"""The codec of Label Studio's brush masks: thi.ng/rle-pack over RGBA bytes; a pixel of the mask is four equal bytes.

The bit stream, most significant bit first: the number of bytes (32 bits), the bits per value minus one (5), four run
sizes minus one (4 bits each), and then chunks. A chunk is 1 for a run or 0 for literals (1 bit), the index of the run
size (2 bits), the count minus one (as many bits as the run size), and one value for a run, `count` values for literals.
"""

from functools import lru_cache
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from sam_backend.arrays import BoolArray
from sam_backend.errors import BadRequestError
from sam_backend.labelstudio.brush_text import BrushText
from sam_backend.labelstudio.mask_runs import MaskRuns
from sam_backend.samples import Cropped

_CHANNELS = 4
_VALUE_BITS = 8
_MAX_COUNT_BITS = 16
_HEADER_BITS = 32 + 5 + 4 * 4
_SHORTEST = 3 + 1 + _VALUE_BITS
"""Bits of the shortest chunk."""
_BLOCK = 2**16
"""Bytes of the stream that are looked at together; each takes about thirty bytes of memory."""
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


def decode_rle(rle: list[int] | BrushText, size: tuple[int, int]) -> BoolArray:
    """Decode a brush of Label Studio.

    Parameters
    ----------
    rle : list of int or BrushText, the bytes of the bit stream, 0-255.
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


def decode_runs(rle: list[int] | BrushText, size: tuple[int, int]) -> MaskRuns:
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


def _read_pixels(rle: list[int] | BrushText, size: tuple[int, int]) -> tuple[NDArray[np.int64], BoolArray]:
    """Return the lengths in pixels of the runs of the stream, and whether each is opaque; errors as of `decode_rle`."""
    height, width = size
    expected = height * width * _CHANNELS
    try:
        data = bytes(rle.numbers() if isinstance(rle, BrushText) else list(rle))
    except (TypeError, ValueError) as error:
        raise BadRequestError("A brush mask is a list of bytes from 0 to 255; got something else.") from error
    total = int.from_bytes(data[:4], "big")
    if len(data) < 7 or total != expected:
        raise BadRequestError(
            f"The brush mask holds {total} bytes, but an image of {width} x {height} pixels needs {expected}; "
            "was it drawn on another image?"
        )
    # The longest run has 2**16 bytes: a short list that claims many pixels is refused before it is read.
    if (len(data) * 8 - _HEADER_BITS) << _MAX_COUNT_BITS < total * _SHORTEST:
        raise BadRequestError(_BREAKS_OFF)
    lengths, values = _read_chunks(data, total)
    # Alpha is every fourth byte, so the first n bytes contain n // 4 alpha bytes.
    opaque = values >= 128
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


def _read_chunks(data: bytes, total: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the lengths and the values of all runs and literals (length 1) of the stream."""
    stream = np.frombuffer(data + bytes(8), np.uint8)
    if int(_bits(stream, np.array([32]), 5)[0]) + 1 != _VALUE_BITS:
        raise BadRequestError("A brush mask has values of 8 bits; this one is packed otherwise or damaged.")
    sizes = _bits(stream, np.arange(37, _HEADER_BITS, 4), 4) + 1
    lengths, values = list[NDArray[np.int64]](), list[NDArray[np.int64]]()
    position, filled = _HEADER_BITS, 0
    while filled < total:
        starts, position = _chunk_starts(stream, position, len(data) * 8, sizes)
        if not len(starts):
            raise BadRequestError(_BREAKS_OFF)
        kinds = _bits(stream, starts, 3)
        size, is_run = sizes[kinds & 3], kinds >= 4
        counts = _bits(stream, starts + 3, size) + 1
        ends = filled + np.cumsum(counts)
        # What comes after the last pixel is padding.
        needed = int(np.searchsorted(ends, total)) + 1
        starts, size, is_run, counts = starts[:needed], size[:needed], is_run[:needed], counts[:needed]
        filled = int(ends[len(counts) - 1])
        if int(starts[-1] + 3 + size[-1] + _VALUE_BITS * (1 if is_run[-1] else counts[-1])) > len(data) * 8:
            raise BadRequestError(_BREAKS_OFF)
        pieces = np.where(is_run, 1, counts)
        first = np.cumsum(pieces) - pieces
        nth = np.arange(int(pieces.sum())) - np.repeat(first, pieces)
        lengths.append(np.repeat(np.where(is_run, counts, 1), pieces))
        values.append(_bits(stream, np.repeat(starts + 3 + size, pieces) + _VALUE_BITS * nth, _VALUE_BITS))
    if filled != total:
        raise BadRequestError("The brush mask's last run goes beyond its last pixel; it is damaged.")
    return np.concatenate([*lengths, np.zeros(0, np.int64)]), np.concatenate([*values, np.zeros(0, np.int64)])


def _chunk_starts(
    stream: NDArray[np.uint8], position: int, end: int, sizes: NDArray[np.int64]
) -> tuple[NDArray[np.int64], int]:
    """Return the bits at which the chunks of one block begin, from `position` on, and the bit after the last of them.

    What a chunk at any bit of the block would be long is computed for all bits at once; the way from chunk to chunk is
    then short.
    """
    base = position & ~7
    bits = np.unpackbits(stream[base >> 3 : (base >> 3) + _BLOCK])
    kinds = bits[:-2] << 2 | bits[1:-1] << 1 | bits[2:]
    steps = kinds.tobytes().translate(bytes([0] * 4 + (3 + sizes + _VALUE_BITS).tolist() + [0] * 248))
    place, last, starts = position - base, min(end - base - _SHORTEST + 1, len(steps)), list[int]()
    while place < last:
        starts.append(place)
        step = steps[place]
        if not step:
            size = int(sizes[kinds[place] & 3])
            step = 3 + size + _VALUE_BITS * (int(_bits(stream, np.array([base + place + 3]), size)[0]) + 1)
        place += step
    return np.array(starts, np.int64) + base, base + place


def _bits(stream: NDArray[np.uint8], positions: NDArray[np.int64], width: int | NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the numbers of `width` bits, up to 24, that begin at some bits of the stream."""
    first = positions >> 3
    window = np.zeros(len(positions), np.int64)
    for byte in range(4):
        window = window << 8 | stream[first + byte]
    return window >> 32 - width - (positions & 7) & (1 << width) - 1
