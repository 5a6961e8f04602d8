"""The proposer's answer for a whole image: in one piece, or in overlapping tiles where it is large."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import cv2
import numpy as np

from sam_backend.arrays import FloatArray, ImageArray

TILE = 512
"""Side in pixels of a tile; a multiple of `STRIDE`."""

STRIDE = 32
"""The net takes sides that are multiples of it."""

_CONTEXT = 16
"""Pixels mirrored around an image, since a net sees less at a border."""

_OVERLAP = 64
"""Pixels that neighbouring tiles share; there, the answer of the tile counts more whose border is farther."""

Shares = Callable[[ImageArray], FloatArray]
"""A function of an image uint8 (H, W, 3), whose sides are multiples of 32: its shares (1 + K, H, W)."""


def shares_of(image: ImageArray, run: Shares) -> FloatArray:
    """Return the shares float32 (1 + K, H, W) of background and classes at each pixel of an image uint8 (H, W, 3)."""
    height, width = image.shape[:2]
    bottom, right = (_padding(side) for side in (height, width))
    # Reflected pixels must exist: of an image of one row, the row itself is repeated.
    border = cv2.BORDER_REFLECT
    padded = cv2.copyMakeBorder(image, _CONTEXT, bottom, _CONTEXT, right, border)
    total, weights = None, np.zeros(padded.shape[:2], np.float32)
    for rows, columns in _tiles(*padded.shape[:2]):
        part = padded[rows, columns]
        answer = run(part) + run(np.ascontiguousarray(part[:, ::-1]))[..., ::-1]
        if total is None:
            total = np.zeros((len(answer), *padded.shape[:2]), np.float32)
        weight = _ramp(part.shape[0])[:, None] * _ramp(part.shape[1])
        total[:, rows, columns] += answer * weight
        weights[rows, columns] += 2 * weight
    assert total is not None
    inside = slice(_CONTEXT, _CONTEXT + height), slice(_CONTEXT, _CONTEXT + width)
    whole: FloatArray = np.asarray(total[:, inside[0], inside[1]] / weights[inside], np.float32)
    return whole


def _padding(side: int) -> int:
    """Return the pixels to add after a side, so that with those before it is a multiple of `STRIDE`."""
    return _CONTEXT + -(side + 2 * _CONTEXT) % STRIDE


def _tiles(height: int, width: int) -> Iterator[tuple[slice, slice]]:
    """Yield rows and columns of tiles that cover an image whose sides are multiples of `STRIDE`."""
    for top in _starts(height):
        for left in _starts(width):
            yield slice(top, top + min(TILE, height)), slice(left, left + min(TILE, width))


def _starts(length: int) -> list[int]:
    """Return where the tiles begin.

    Examples
    --------
    >>> _starts(512), _starts(544), _starts(1024)
    ([0], [0, 32], [0, 448, 512])
    """
    if length <= TILE:
        return [0]
    return [*range(0, length - TILE, TILE - _OVERLAP), length - TILE]


def _ramp(length: int) -> FloatArray:
    """Return weights (length,) that fall towards both ends."""
    distance = np.minimum(np.arange(length), np.arange(length)[::-1]) + 1
    ramp: FloatArray = np.minimum(distance / _OVERLAP, 1).astype(np.float32)
    return ramp
