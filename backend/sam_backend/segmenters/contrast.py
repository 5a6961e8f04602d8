"""How much a mask differs from what is around it."""

from __future__ import annotations

import cv2
import numpy as np

from sam_backend.samples import Cropped
from sam_backend.segmenters.image_reader import ImageReader
from sam_backend.segmenters.views import View

_LEAST_WIDTH = 3
"""Pixels that the ring around a mask is wide at least."""

_NOISE = 1.0
"""Variance added to both sides, in squared grey levels: of an even surface, rounding decides nothing."""


def contrast_with_surroundings(reader: ImageReader, mask: Cropped) -> float:
    r"""Return the sensitivity index d' between the pixels of a mask and those of a ring around it.

    .. math:: d' = \max_c |\mu_{c, in} - \mu_{c, ring}| \,/\, \sqrt{(\sigma^2_{c, in} + \sigma^2_{c, ring}) / 2 + 1}

    over the channels c of CIELAB, each from 0 to 255. The ring is a quarter of the root of the mask's area wide, at
    least 3 pixels. Values start at 0 and have no upper bound; 1 means that the means lie a standard deviation apart.

    Parameters
    ----------
    reader : ImageReader of the image.
    mask : Cropped of the image, not empty.

    References
    ----------
    Green and Swets, Signal Detection Theory and Psychophysics, 1966, for d'; a ring around an object as a measure of
    objectness: Alexe et al., Measuring the Objectness of Image Windows, PAMI 2012.
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
    (mean_in, spread_in), (mean_ring, spread_ring) = (
        cv2.meanStdDev(pixels, mask=part.astype(np.uint8)) for part in (inside, ring)
    )
    spread = np.sqrt((spread_in**2 + spread_ring**2) / 2 + _NOISE)
    return float((np.abs(mean_in - mean_ring) / spread).max())
