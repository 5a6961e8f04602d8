"""The size at which a proposer sees images, and how small its regions may be: both follow from the accepted masks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sam_backend.samples import Sample

_LONG_SIDE = 512
"""Pixels of an image's longer side that are always kept."""

_LEAST_WIDTH = 12.0
"""Pixels across, on the net's input, of all but the smallest twentieth of the objects, if the image has them."""

_SMALLEST_SHARE = 0.05
_LEAST_AREA = 6


def scale_for(samples: Sequence[Sample]) -> float:
    """Return the scale in (0, 1]: 1 unless images are large and all their objects are, too."""
    widths = [np.sqrt(target.cropped.area) for sample in samples for target in sample.objects]
    longest = max(max(sample.image.shape[:2]) for sample in samples)
    needed = _LEAST_WIDTH / float(np.quantile(widths, _SMALLEST_SHARE)) if widths else 0.0
    return float(min(1.0, max(_LONG_SIDE / longest, needed)))


def least_area(samples: Sequence[Sample], scale: float) -> int:
    """Return the pixels on the net's input from which a region is a proposal: half of what a small object has."""
    areas = [target.cropped.area * scale**2 for sample in samples for target in sample.objects]
    return max(_LEAST_AREA, round(float(np.quantile(areas, _SMALLEST_SHARE)) / 2)) if areas else _LEAST_AREA
