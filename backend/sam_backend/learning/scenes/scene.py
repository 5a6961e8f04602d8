"""A training scene: an image and the masks of everything in it, a pure function of its seed."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from sam_backend.learning.scenes.defects import Image, Mask, any_defect, any_surface_defect
from sam_backend.learning.scenes.shapes import any_shape
from sam_backend.learning.scenes.textures import any_texture, brushed, colourise, fractal_noise, grid, smooth, speckle

SIZE = 384
MIN_AREA = 40
"""Masks smaller than this many pixels are dropped: nobody could click them."""


SURFACES = 1_000_000
"""Scenes from this number on are surfaces with defects alone, mostly grey."""


@dataclass(frozen=True, eq=False)
class Scene:
    """An image uint8 RGB (SIZE, SIZE, 3) and its masks bool (N, SIZE, SIZE); masks may nest and overlap."""

    image: NDArray[np.uint8]
    masks: NDArray[np.bool_]


def make_scene(seed: int) -> Scene:
    """Return scene number `seed`: half layered objects with parts, half surfaces with defects, a few of both.

    From number `SURFACES` on, only surfaces with defects.
    """
    rng = np.random.default_rng([seed, 20_261])
    if SURFACES <= seed < 2 * SURFACES:
        return _surface(rng, seed)
    grey = rng.random() < 0.45
    image = colourise(rng, any_texture(rng, SIZE), grey)
    masks: list[Mask] = []
    kind = rng.random()
    if kind < 0.62:
        image, masks = _layered(rng, image, grey, int(rng.integers(2, 12)))
    if kind > 0.5:
        if not masks and rng.random() < 0.25:
            image, masks = _layered(rng, image, grey, 1)
        for _ in range(int(rng.integers(1, 4))):
            image, drawn = any_defect(rng, image)
            masks = _settle(masks, []) + drawn
    photograph = _finish(rng, image, grey)
    kept = [mask for whole in masks for mask in _pieces(rng, whole) if _can_be_seen(photograph, mask)]
    if not kept:
        return make_scene(seed + 1_000_000_007)
    return Scene(photograph, np.stack(kept))


def _surface(rng: Generator, seed: int) -> Scene:
    grey = rng.random() < 0.8
    texture = (brushed, fractal_noise, speckle, smooth)[rng.integers(4)] if rng.random() < 0.8 else any_texture
    image = colourise(rng, texture(rng, SIZE), grey)
    if rng.random() < 0.5:
        image = image + rng.uniform(0.3, 0.9) * (image.mean((0, 1)) - image)
    if rng.random() < 0.4:
        image = image + rng.uniform(0.02, 0.1) * brushed(rng, SIZE)[..., None]
    masks: list[Mask] = []
    for _ in range(int(rng.integers(1, 4))):
        image, drawn = any_surface_defect(rng, image)
        masks += drawn
    photograph = _finish(rng, image, grey)
    kept = [mask for whole in masks for mask in _pieces(rng, whole) if _can_be_seen(photograph, mask)]
    return Scene(photograph, np.stack(kept)) if kept else make_scene(seed + 2 * SURFACES)


def _layered(rng: Generator, image: Image, grey: bool, count: int) -> tuple[Image, list[Mask]]:
    """Paste objects, later ones in front; a few have parts, repeat an earlier texture, or cast a shadow."""
    masks: list[Mask] = []
    largest = rng.uniform(0.12, 0.5)
    earlier: list[Image] = []
    for _ in range(count):
        radius = SIZE * rng.uniform(0.03, largest)
        coverage = any_shape(rng, SIZE, rng.uniform(0, SIZE, 2), radius)
        reuse = bool(earlier) and rng.random() < 0.3
        skin = earlier[rng.integers(len(earlier))] if reuse else colourise(rng, any_texture(rng, SIZE), grey)
        earlier.append(skin)
        image = _cast_shadow(rng, image, coverage, radius)
        image = _paste(rng, image, coverage, _shade(rng, skin, coverage, radius))
        whole = coverage > 0.5
        parts: list[Mask] = []
        if rng.random() < 0.4:
            for _ in range(int(rng.integers(1, 4))):
                inside = np.argwhere(whole)
                if len(inside) < 200:
                    break
                centre = inside[rng.integers(len(inside))][::-1].astype(float)
                part = np.minimum(any_shape(rng, SIZE, centre, radius * rng.uniform(0.15, 0.5)), coverage)
                image = _paste(rng, image, part, colourise(rng, any_texture(rng, SIZE), grey))
                parts = _settle(parts, [part > 0.5])
        masks = _settle(masks, [whole]) + parts
    return image, masks


def _settle(behind: list[Mask], front: list[Mask]) -> list[Mask]:
    """Return all masks, those behind without what the new ones in front hide."""
    for new in front:
        behind = [mask & ~new for mask in behind]
    return behind + front


def _paste(rng: Generator, image: Image, coverage: Image, skin: Image) -> Image:
    edge = cv2.GaussianBlur(coverage, (0, 0), rng.uniform(0.3, 1.5))
    opacity = 1.0 if rng.random() < 0.85 else rng.uniform(0.4, 0.9)
    return np.asarray(image + opacity * edge[..., None] * (skin - image), np.float32)


def _shade(rng: Generator, skin: Image, coverage: Image, radius: float) -> Image:
    """Light an object as if it were rounded, flat with a bevel, or in a gradient."""
    choice = rng.random()
    if choice < 0.35:
        return skin
    if choice < 0.7:
        depth = np.minimum(cv2.distanceTransform((coverage > 0.5).astype(np.uint8), cv2.DIST_L2, 3), radius)
        height = cv2.GaussianBlur(np.sqrt(depth / radius), (0, 0), 2)
        slope_y, slope_x = np.gradient(height)
    else:
        slope_x, slope_y = (part * 0.02 for part in grid(SIZE))
    angle = rng.uniform(0, 2 * np.pi)
    light = (slope_x * np.cos(angle) + slope_y * np.sin(angle)).astype(np.float32)
    light *= rng.uniform(0.05, 0.3) / (np.abs(light).max() + 1e-6)
    return np.asarray(skin + light[..., None], np.float32)


def _cast_shadow(rng: Generator, image: Image, coverage: Image, radius: float) -> Image:
    if rng.random() < 0.6:
        return image
    offset = tuple(np.round(rng.normal(0, 0.12 * radius + 1, 2)).astype(int))
    shadow = cv2.GaussianBlur(np.roll(coverage, offset, (0, 1)), (0, 0), 1 + 0.08 * radius)
    return np.asarray(image * (1 - rng.uniform(0.1, 0.5) * shadow[..., None]), np.float32)


def _finish(rng: Generator, image: Image, grey: bool) -> NDArray[np.uint8]:
    """Uneven light, a lens, a sensor and a file format."""
    if rng.random() < 0.5:
        image = image + rng.uniform(0, 0.12) * fractal_noise(rng, SIZE, 1.5, 2)[..., None]
    if rng.random() < 0.5:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.3, 1.2))
    noise = rng.standard_normal((*image.shape[:2], 1 if grey else 3)).astype(np.float32)
    image = image + noise * rng.choice([0.005, rng.uniform(0, 0.05)])
    if grey:
        image = np.repeat(image.mean(2, keepdims=True), 3, 2)
    out = np.clip(image * 255, 0, 255).astype(np.uint8)
    if rng.random() < 0.4:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(35, 95))]
        out = np.asarray(cv2.imdecode(cv2.imencode(".jpg", out, quality)[1], cv2.IMREAD_COLOR), np.uint8)
    return np.ascontiguousarray(out)


def _can_be_seen(image: NDArray[np.uint8], mask: Mask) -> bool:
    """Tell whether anything at all varies across the border of `mask`: not so where the picture is burnt out."""
    x, y, width, height = cv2.boundingRect(mask.astype(np.uint8))
    around = image[max(0, y - 3) : y + height + 3, max(0, x - 3) : x + width + 3]
    return float(around.std()) > 3.0


def _pieces(rng: Generator, mask: Mask) -> list[Mask]:
    """Return the mask whole, or its connected components where it fell into pieces; nothing that is too small."""
    if mask.sum() < MIN_AREA or mask.mean() > 0.9:
        return []
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    areas = stats[1:, cv2.CC_STAT_AREA]
    if count == 2 or (areas.max() > 0.9 * mask.sum() and rng.random() < 0.5):
        return [mask]
    return [labels == index + 1 for index in np.argsort(-areas)[:6] if areas[index] >= MIN_AREA]
