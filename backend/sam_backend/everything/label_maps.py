"""Instances -> a label map of the image, and an indexed PNG of it."""

from __future__ import annotations

import colorsys
import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sam_backend.errors import BadRequestError
from sam_backend.samples import Cropped

_INDEXED, _DEEP = 2**8 - 1, 2**16 - 1
_GOLDEN = 0.618034


def label_map(masks: Sequence[Cropped], ids: Sequence[int], size: tuple[int, int]) -> NDArray[np.uint16]:
    """Return a map (H, W): the id of each pixel's mask, 0 where there is none.

    Of several masks on a pixel the smallest counts, and of equally large ones the first: a part lies on its whole.

    Parameters
    ----------
    masks : Cropped of one image.
    ids : int, from 1, one for each mask.
    size : (H, W) in pixels.

    Raises
    ------
    BadRequestError
        If an id does not fit into 16 bits.

    Examples
    --------
    >>> whole, part = (Cropped.of(np.array([row], bool)) for row in ([1, 1, 1], [0, 1, 0]))
    >>> label_map([part, whole], [1, 2], (1, 3)).tolist()
    [[2, 1, 2]]
    """
    if max(ids, default=0) > _DEEP:
        raise BadRequestError(f"It has {max(ids):,} masks, and a PNG of 16 bits holds {_DEEP:,}; ask for fewer masks.")
    areas = [mask.area for mask in masks]
    map_of_ids = np.zeros(size, np.uint16)
    for index in sorted(range(len(masks)), key=lambda index: (-areas[index], -index)):
        map_of_ids[masks[index].place][masks[index].part] = ids[index]
    return map_of_ids


def png_of_map(map_of_ids: NDArray[np.uint16]) -> bytes:
    """Return a map as PNG: indexed with `colours` as palette, or grey with 16 bits where an id exceeds 255."""
    stream = io.BytesIO()
    if map_of_ids.max(initial=0) > _INDEXED:
        Image.fromarray(map_of_ids).save(stream, "PNG")
    else:
        indexed = Image.fromarray(map_of_ids.astype(np.uint8))
        indexed.putpalette(colours(_INDEXED).tobytes())
        indexed.save(stream, "PNG")
    return stream.getvalue()


def colours(most: int) -> NDArray[np.uint8]:
    """Return RGB colours (most + 1, 3) of ids, black for 0; neighbours differ much."""
    shades = [(0.0, 0.0, 0.0), *(colorsys.hsv_to_rgb(number * _GOLDEN % 1, 0.8, 1.0) for number in range(most))]
    return np.round(np.array(shades) * 255).astype(np.uint8)
