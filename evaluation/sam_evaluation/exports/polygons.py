"""A mask as polygons, in pixels of the image; holes are reached through slits without width."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sam_backend.labelstudio.outlines import joined, pixel_rings
from sam_backend.masks import mask_iou
from sam_backend.polygons import polygon_mask
from sam_backend.samples import Cropped

EDITABLE = (0.5, 0.98)
"""Tolerance in pixels, and least IoU, of outlines that people edit."""

Ring = NDArray[np.float64]


def exact_rings(mask: Cropped) -> list[Ring]:
    """Return one ring for each part of a mask, (N, 2) x and y, along the edges of its pixels: nothing is lost."""
    return pixel_rings(mask, 0, 1, None)


def editable_rings(mask: Cropped) -> list[Ring]:
    """Return one ring for each part of a mask with fewer corners, or all of them where the IoU would be too small."""
    tolerance, least_iou = EDITABLE
    rings = pixel_rings(mask, tolerance, least_iou, None)
    # Of many small holes, each can lose so little and all of them too much.
    place, shape = np.array(mask.corner[::-1]), (mask.part.shape[0], mask.part.shape[1])
    drawn = np.logical_or.reduce([polygon_mask(ring - place, shape) for ring in rings])
    return rings if mask_iou(drawn, mask.part) >= least_iou else exact_rings(mask)


def one_ring(mask: Cropped) -> Ring:
    """Return one ring around all parts of a mask; nothing is lost."""
    whole: Ring = joined(exact_rings(mask))
    return whole
