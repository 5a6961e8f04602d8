"""The values of label maps: which there are, the numbers of colours, and rims that smoothing leaves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

_BLOCK_PIXELS = 1 << 20
_COLOUR = 1 << 24
"""Added to red, green and blue, so that no colour has the number of a grey level."""
_MOST_COLOURS = 4096
_MOST_THIN = 8

WHITE = (255, 65535)
"""The largest grey level, by the depth of a file."""


def row_blocks(pixels: NDArray[Any]) -> Iterator[slice]:
    """Yield slices of rows, each of about a million pixels: what is computed of them takes little memory."""
    height, width = pixels.shape[:2]
    step = max(1, _BLOCK_PIXELS // max(width, 1))
    return (slice(start, start + step) for start in range(0, height, step))


def distinct_values(labels: NDArray[np.integer]) -> NDArray[np.integer]:
    """Return the distinct values of a label map (H, W), sorted; as `np.unique`, but in little memory."""
    if labels.dtype.itemsize <= 2 and labels.dtype.kind == "u":
        seen = np.zeros(1 << (8 * labels.dtype.itemsize), np.bool_)
        for rows in row_blocks(labels):
            seen[labels[rows]] = True
        return np.flatnonzero(seen).astype(labels.dtype)
    values = np.zeros(0, labels.dtype)
    for rows in row_blocks(labels):
        values = np.union1d(values, labels[rows])
    return values


def colours_of(rgb: NDArray[np.uint8]) -> NDArray[Any]:
    """Return a label map (H, W) of an image of colours.

    Parameters
    ----------
    rgb : uint8 (H, W, 3).

    Returns
    -------
    ndarray
        uint8, the grey levels, if all pixels are grey. Otherwise int32: the grey level of grey pixels, and
        0x1000000 + 0xRRGGBB for other colours, so that no two colours share a number.

    Raises
    ------
    ValueError
        If there are more than 4,096 colours.
    """
    if all((rgb[rows] == rgb[rows][..., :1]).all() for rows in row_blocks(rgb)):
        return np.ascontiguousarray(rgb[..., 0])
    labels = np.empty(rgb.shape[:2], np.int32)
    for rows in row_blocks(rgb):
        red, green, blue = rgb[rows].astype(np.int32).transpose(2, 0, 1)
        is_grey = (red == green) & (green == blue)
        labels[rows] = np.where(is_grey, red, _COLOUR | red << 16 | green << 8 | blue)
    number = len(distinct_values(labels))
    if number > _MOST_COLOURS:
        raise ValueError(f"has {number:,} colours, so it is a photograph or smoothed; save a colour for each class")
    return labels


def colour_name(rgb: tuple[int, ...]) -> str:
    """Return `#rrggbb`."""
    return "#" + "".join(f"{channel:02x}" for channel in rgb)


def value_name(value: int) -> str:
    """Return a label as users write it: a number, or `#rrggbb` for a colour of `colours_of`."""
    return str(value) if value < _COLOUR or value >= 2 * _COLOUR else f"#{value - _COLOUR:06x}"


def value_of_name(name: str) -> int | None:
    """Return the label of a number or of `#rrggbb`; None for anything else."""
    if name.isdecimal():
        return int(name)
    digits = name.removeprefix("#").lower()
    if name == digits or len(digits) != 6 or set(digits) - set("0123456789abcdef"):
        return None
    rgb = int(digits, 16)
    is_grey = digits[:2] == digits[2:4] == digits[4:]
    return rgb & 255 if is_grey else _COLOUR + rgb


def rim_values(labels: NDArray[np.integer]) -> list[int]:
    """Return the values that lie only along edges, as smoothing or scaling of a mask leaves them.

    A value is one of a rim if no pixel of it has eight equal neighbours, and most of its pixels have a smaller and a
    larger neighbour.

    Parameters
    ----------
    labels : (H, W), from `read_labels`.
    """
    values = distinct_values(labels)
    if len(values) <= 2:
        return []
    # The ranks of the values fit into 16 bits, which OpenCV's filters take.
    if len(values) > 1 << 16:
        return [int(value) for value in values]
    ranks = np.empty(labels.shape, np.uint8 if len(values) <= 256 else np.uint16)
    for rows in row_blocks(labels):
        ranks[rows] = np.searchsorted(values, labels[rows])
    kernel = np.ones((3, 3), np.uint8)
    lowest, highest = cv2.erode(ranks, kernel), cv2.dilate(ranks, kernel)
    counts, between, solid = (np.zeros(len(values), np.int64) for _ in range(3))
    for rows in row_blocks(ranks):
        rank, low, high = ranks[rows], lowest[rows], highest[rows]
        counts += np.bincount(rank.reshape(-1), minlength=len(values))
        solid += np.bincount(rank[low == high], minlength=len(values))
        between += np.bincount(rank[(low < rank) & (rank < high)], minlength=len(values))
    thin = solid == 0
    # Colours and masks with white have no reason for many thin values: noise of JPEG lies beside edges, too.
    is_noise = thin.sum() > max(_MOST_THIN, (~thin).sum()) and (values[-1] in WHITE or values[-1] >= _COLOUR)
    rims = thin if is_noise else thin & (between * 2 >= counts)
    rims[0] = False
    return [int(value) for value in values[rims]]
