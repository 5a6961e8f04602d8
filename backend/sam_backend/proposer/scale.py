"""What a training keeps of all images at once, and what follows from it: the scale, and how small regions may be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from sam_backend.samples import Sample

_LONG_SIDE = 512
"""Pixels of an image's longer side that are always kept."""

_LEAST_WIDTH = 12.0
"""Pixels across, on the net's input, of all but the smallest twentieth of the objects, if the image has them."""

_MOST_ENLARGED = 2.0
_ENLARGED_SIDE = 768
"""Pixels of an image's longer side up to which it is enlarged for the sake of small objects."""

_SMALLEST_SHARE = 0.05
_LEAST_AREA = 6


@dataclass(frozen=True)
class ImageFacts:
    """What is known of an image while it is not in memory.

    Attributes
    ----------
    size : (H, W) in pixels.
    labels : tuple of str, of its objects.
    areas : tuple of int, the pixels of each object.
    """

    size: tuple[int, ...]
    labels: tuple[str, ...]
    areas: tuple[int, ...]

    @classmethod
    def of(cls, sample: Sample) -> Self:
        """Return the facts of an image."""
        objects = sample.objects
        areas = tuple(target.cropped.area for target in objects)
        return cls(sample.image.shape[:2], tuple(target.label for target in objects), areas)


def scale_for(images: Sequence[ImageFacts]) -> float:
    """Return the scale in (0, 2]: less than 1 if images and objects are large, more than 1 if both are small."""
    widths = [np.sqrt(area) for image in images for area in image.areas]
    longest = max(max(image.size) for image in images)
    needed = _LEAST_WIDTH / float(np.quantile(widths, _SMALLEST_SHARE)) if widths else 0.0
    most = min(_MOST_ENLARGED, max(1.0, _ENLARGED_SIDE / longest))
    return float(min(most, max(min(1.0, _LONG_SIDE / longest), needed)))


def least_area(images: Sequence[ImageFacts], scale: float) -> int:
    """Return the pixels on the net's input from which a region is a proposal: half of what a small object has."""
    areas = [area * scale**2 for image in images for area in image.areas]
    return max(_LEAST_AREA, round(float(np.quantile(areas, _SMALLEST_SHARE)) / 2)) if areas else _LEAST_AREA
