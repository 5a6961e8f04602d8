"""How much a mask differs from what is around it."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from sam_backend.arrays import FloatArray
from sam_backend.samples import Cropped
from sam_backend.segmenters.image_reader import ImageReader
from sam_backend.segmenters.views import View

_LEAST_WIDTH = 3
"""Pixels that the ring around a mask is wide at least."""

_BINS = 32
"""Bins of a histogram, of 8 grey levels each."""


def contrast_with_surroundings(reader: ImageReader, mask: Cropped) -> float:
    r"""Return the colour contrast of a mask with a ring around it: the chi-square distance of their histograms.

    .. math:: \max_c \tfrac{1}{2} \sum_b (p_{c,b} - q_{c,b})^2 / (p_{c,b} + q_{c,b})

    where p and q are the shares of the pixels of the mask and of the ring in bin b of channel c of CIELAB. The ring is
    a quarter of the root of the mask's area wide, at least 3 pixels. The value is from 0, no difference, to 1, no bin
    in common; 0 where nothing is around the mask.

    Parameters
    ----------
    reader : ImageReader of the image.
    mask : Cropped of the image, not empty.

    References
    ----------
    Alexe et al., Measuring the Objectness of Image Windows, PAMI 2012: the cue "colour contrast", there of a window.
    """
    width = max(_LEAST_WIDTH, round(mask.area**0.5 / 4))
    left, top, right, bottom = mask.box
    height, length = mask.size
    window = max(left - width, 0), max(top - width, 0), min(right + width, length), min(bottom + width, height)
    view = View(window, (height, length))
    inside = view.seen(mask)
    reach = -(-width // view.shrink)
    disk = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1,) * 2)
    ring = (cv2.dilate(inside.astype(np.uint8), disk) > 0) & ~inside
    if not (inside.any() and ring.any()):
        return 0.0
    pixels = cv2.cvtColor(view.read(reader), cv2.COLOR_RGB2LAB)
    channels = [(pixels[inside][:, channel], pixels[ring][:, channel]) for channel in range(3)]
    return max(_chi_square(*(_shares(values) for values in pair)) for pair in channels)


def _shares(values: NDArray[np.uint8]) -> FloatArray:
    counts = np.bincount(values >> 3, minlength=_BINS)
    return np.asarray(counts / len(values), np.float32)


def _chi_square(p: FloatArray, q: FloatArray) -> float:
    either = p + q
    return float(((p - q)[either > 0] ** 2 / either[either > 0]).sum() / 2)
