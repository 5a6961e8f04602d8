"""Things to put into a picture: cut-outs with their parts, and shapes that wear a real skin."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from sam_backend.arrays import BoolArray
from sam_research.materials.collection import Library
from sam_research.scenes.layers import Image, paste, shade
from sam_research.scenes.scene_masks import settle
from sam_research.scenes.shapes import Points, any_shape
from sam_research.scenes.skins import scenery, surface
from sam_research.scenes.textures import Map


@dataclass(frozen=True, eq=False)
class Thing:
    """An object on a canvas: skin (S, S, 3), coverage (S, S), masks of its parts inside it."""

    skin: Image
    coverage: Map
    parts: list[BoolArray]


def cutout(rng: Generator, library: Library, size: int, centre: Points, radius: float, grey: bool) -> Thing:
    """Return a cut-out of about `radius` pixels: scaled, turned, mirrored, in other colours."""
    picture = library.any(rng, "cutout" if rng.random() < 0.65 else "drawing")
    scale = 2 * radius / max(picture.shape[:2])
    if scale < 0.7:
        # Halving by area first: a sampled, much smaller picture would flicker.
        picture = _smaller(picture, scale)
        scale = 2 * radius / max(picture.shape[:2])
    alpha = picture[..., 3:].astype(np.float32) / 255
    layered = np.concatenate([picture[..., :3] * (alpha / 255), alpha], 2)
    angle = rng.uniform(-15, 15) if rng.random() < 0.5 else rng.uniform(0, 360)
    rows, columns = picture.shape[:2]
    matrix = cv2.getRotationMatrix2D((columns / 2, rows / 2), angle, scale)
    if rng.random() < 0.5:
        matrix[:, 2] += matrix[:, 0] * columns
        matrix[:, 0] *= -1
    matrix[:, 2] += centre - matrix @ [columns / 2, rows / 2, 1]
    placed = cv2.warpAffine(layered, matrix, (size, size))
    coverage = placed[..., 3]
    skin = placed[..., :3] / np.maximum(coverage, 1e-3)[..., None]
    parts = same_coloured(rng, skin, coverage > 0.5)
    gamma = np.float32(2.0 ** rng.uniform(-0.6, 0.6))
    skin = np.clip(skin, 0, 1) ** gamma * np.clip(rng.normal(1, 0.1, 3), 0.6, 1.4)
    if rng.random() < 0.15:
        skin = skin[..., rng.permutation(3)]
    if grey:
        skin = np.repeat(skin.mean(2, keepdims=True), 3, 2)
    return Thing(np.asarray(skin, np.float32), np.asarray(coverage, np.float32), parts)


def _smaller(picture: NDArray[np.uint8], scale: float) -> NDArray[np.uint8]:
    alpha = picture[..., 3:].astype(np.float32) / 255
    layered = np.concatenate([picture[..., :3] * alpha, picture[..., 3:]], 2).astype(np.float32)
    small = cv2.resize(layered, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    colour = small[..., :3] / np.maximum(small[..., 3:] / 255, 1e-3)
    return np.asarray(np.clip(np.concatenate([colour, small[..., 3:]], 2), 0, 255), np.uint8)


def same_coloured(rng: Generator, skin: Image, whole: BoolArray) -> list[BoolArray]:
    """Return up to three connected regions of one colour inside an object, disjoint: what people call its parts."""
    area = int(whole.sum())
    if area < 400:
        return []
    canvas = np.clip(skin * 255, 0, 255).astype(np.uint8)
    canvas = cv2.medianBlur(np.ascontiguousarray(canvas), 3)
    inside = np.argwhere(whole)
    found: list[BoolArray] = []
    taken = np.zeros((len(whole) + 2, len(whole) + 2), np.uint8)
    taken[1:-1, 1:-1] = ~whole
    near = (int(rng.integers(8, 28)),) * 3
    flags = 4 | cv2.FLOODFILL_FIXED_RANGE | cv2.FLOODFILL_MASK_ONLY | (2 << 8)
    for _ in range(8):
        y, x = inside[rng.integers(len(inside))]
        if taken[y + 1, x + 1]:
            continue
        cv2.floodFill(canvas, taken, (int(x), int(y)), 0, near, near, flags)
        region = taken[1:-1, 1:-1] == 2
        taken[taken == 2] = 1
        region = _smoothed(region) & whole
        if max(60, 0.02 * area) < region.sum() < 0.7 * area and _is_compact(region):
            found = settle(found, [region])
        if len(found) == 3:
            break
    return found


def _smoothed(region: BoolArray) -> BoolArray:
    """Close pinholes and drop hairs: colour is noisy, the border of a part is not."""
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5))
    closed = cv2.morphologyEx(region.astype(np.uint8), cv2.MORPH_CLOSE, kernel)
    return np.asarray(cv2.morphologyEx(closed, cv2.MORPH_OPEN, kernel) > 0)


def _is_compact(region: BoolArray) -> bool:
    outlines, _ = cv2.findContours(region.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    around = sum(cv2.arcLength(outline, True) for outline in outlines)
    return bool(around**2 < 90 * region.sum())


def shaped(rng: Generator, library: Library, size: int, centre: Points, radius: float, grey: bool) -> Thing:
    """Return a procedural shape with a real skin, a piece of a photograph now and then, half of them with parts."""
    coverage = any_shape(rng, size, centre, radius)
    skin = scenery(rng, library, size, grey) if rng.random() < 0.35 else surface(rng, library, size, grey)
    skin = shade(rng, skin, coverage, radius)
    parts: list[BoolArray] = []
    inside = np.argwhere(coverage > 0.5)
    if len(inside) > 400 and rng.random() < 0.5:
        other = surface(rng, library, size, grey)
        for _ in range(int(rng.integers(1, 4))):
            spot = inside[rng.integers(len(inside))][::-1].astype(float)
            part = np.minimum(any_shape(rng, size, spot, radius * rng.uniform(0.15, 0.5)), coverage)
            skin = paste(rng, skin, part, other + rng.uniform(-0.15, 0.15))
            parts = settle(parts, [part > 0.5])
    return Thing(skin, coverage, parts)


def twin(rng: Generator, background: Image, centre: Points, radius: float) -> Thing:
    """Return a shape in the background's own texture, elsewhere and hardly brighter: only its edge tells."""
    size = len(background)
    coverage = any_shape(rng, size, centre, radius)
    moved = np.roll(background, tuple(rng.integers(size // 4, 3 * size // 4, 2)), (0, 1))
    skin = shade(rng, moved + np.float32(rng.normal(0, 0.06)), coverage, radius)
    depth = cv2.distanceTransform((coverage > 0.5).astype(np.uint8), cv2.DIST_L2, 3)
    rim = (depth < rng.uniform(1.5, 4)).astype(np.float32)[..., None]
    return Thing(np.asarray(skin * (1 - rng.uniform(0.1, 0.4) * rim), np.float32), coverage, [])
