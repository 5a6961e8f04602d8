"""Composed scenes: real defects of magnetic_tile blended into one large surface of defect-free tiles."""

import hashlib
from dataclasses import dataclass

import cv2
import numpy as np

from sam_backend.masks import mask_box
from sam_backend.samples import Cropped, Object

CELL = 500
"""Pixels between the centres of two defects, about."""

_MARGIN, _FEATHER = 16, 24
"""Pixels around a defect that come from its own image, and over which it fades into the surface."""

_LEAST_MARGIN = 8
_PATCH, _SEAM = 220, 40


@dataclass(frozen=True, eq=False)
class Scene:
    """Grey levels uint8 (H, W), and the defects on it."""

    image: np.ndarray
    objects: list[Object]


def half_of(names, half):
    """Return the names of one half of a data set, 0 or 1, by their hash."""
    return [name for name in names if int(hashlib.sha256(name.encode()).hexdigest(), 16) % 2 == half]


def compose(dataset, names, size, rng):
    """Return a scene of `size` (H, W) with as many of the defects of `names` as have room."""
    free = [cv2.cvtColor(dataset.load(name).image, cv2.COLOR_RGB2GRAY) for name in dataset.names() if "MT_Free" in name]
    image = surface(free, size, rng)
    rows, columns = size[0] // CELL, size[1] // CELL
    cells = iter(rng.permutation(rows * columns).tolist())
    objects = []
    for name in rng.permutation(names).tolist():
        sample = dataset.load(name)
        for target in sample.objects:
            patch = defect_patch(sample, target)
            cell = next(cells, None) if patch is not None else -1
            if cell is None:
                return Scene(image, objects)
            if cell >= 0:
                objects.append(blend(image, *patch, centre=np.array(divmod(cell, columns)) * CELL + CELL // 2))
    return Scene(image, objects)


def surface(free, size, rng):
    """Return a surface float32 -> uint8 (H, W): patches of defect-free images, with soft seams."""
    total, weights = np.zeros(size, np.float32), np.full(size, 1e-6, np.float32)
    ramp = np.minimum(np.minimum(np.arange(_PATCH), np.arange(_PATCH)[::-1]) + 1, _SEAM) / np.float32(_SEAM)
    weight = ramp[:, None] * ramp
    for top in range(0, size[0], _PATCH - _SEAM):
        for left in range(0, size[1], _PATCH - _SEAM):
            source = free[int(rng.integers(len(free)))]
            y, x = (int(rng.integers(max(side - _PATCH, 0) + 1)) for side in source.shape)
            patch = source[y : y + _PATCH, x : x + _PATCH].astype(np.float32)
            if patch.shape != (_PATCH, _PATCH):
                patch = cv2.resize(patch, (_PATCH, _PATCH))
            patch = patch - patch.mean() + 110
            height, width = min(_PATCH, size[0] - top), min(_PATCH, size[1] - left)
            total[top : top + height, left : left + width] += (patch * weight)[:height, :width]
            weights[top : top + height, left : left + width] += weight[:height, :width]
    return np.clip(total / weights, 0, 255).astype(np.uint8)


def defect_patch(sample, target):
    """Return grey levels, mask and opacity of a defect with its margin.

    None where the defect is large, another one is near, or it lies at the edge of its image: nothing is around it to
    blend.
    """
    left, top, right, bottom = mask_box(target.mask)
    height, width = target.mask.shape
    if min(left, top, width - right, height - bottom) < _LEAST_MARGIN:
        return None
    reach = _MARGIN + _FEATHER
    rows = slice(max(top - reach, 0), bottom + reach)
    columns = slice(max(left - reach, 0), right + reach)
    mask = target.mask[rows, columns]
    others = np.logical_or.reduce([other.mask[rows, columns] for other in sample.objects]) & ~mask
    if others.any() or max(mask.shape) > CELL - 20:
        return None
    grey = cv2.cvtColor(np.ascontiguousarray(sample.image[rows, columns]), cv2.COLOR_RGB2GRAY)
    distance = cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    border = np.minimum.outer(*(np.minimum(np.arange(side), np.arange(side)[::-1]) for side in mask.shape))
    return grey, mask, np.clip((reach - distance) / _FEATHER, 0, 1) * np.clip(border / _LEAST_MARGIN, 0, 1)


def blend(image, grey, mask, opacity, centre):
    """Blend a patch into an image in place; return its object."""
    height, width = mask.shape
    top, left = (int(middle) - side // 2 for middle, side in zip(centre, mask.shape, strict=True))
    place = slice(top, top + height), slice(left, left + width)
    below = image[place].astype(np.float32)
    ring = (opacity > 0) & (opacity < 1)
    shift = below[ring].mean() - grey[ring].mean() if ring.any() else 0.0
    image[place] = np.clip(below + opacity * (grey + shift - below), 0, 255).astype(np.uint8)
    part = Cropped.of(mask)
    corner = part.corner[0] + top, part.corner[1] + left
    return Object(Cropped(part.part, corner, image.shape), "defect")
