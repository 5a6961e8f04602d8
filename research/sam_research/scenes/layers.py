"""Putting a thing into a picture: its light, its shadow, its edge."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.random import Generator

from sam_research.scenes.textures import Map, grid

Image = Map


def paste(rng: Generator, image: Image, coverage: Map, skin: Image) -> Image:
    """Lay `skin` over `image` where `coverage` is, with a slightly soft edge, and now and then translucent."""
    edge = cv2.GaussianBlur(coverage, (0, 0), rng.uniform(0.3, 1.5))
    opacity = 1.0 if rng.random() < 0.85 else rng.uniform(0.4, 0.9)
    return np.asarray(image + opacity * edge[..., None] * (skin - image), np.float32)


def shade(rng: Generator, skin: Image, coverage: Map, radius: float) -> Image:
    """Light an object as if it were rounded, flat with a bevel, or in a gradient."""
    choice = rng.random()
    if choice < 0.35:
        return skin
    if choice < 0.7:
        depth = np.minimum(cv2.distanceTransform((coverage > 0.5).astype(np.uint8), cv2.DIST_L2, 3), radius)
        height = cv2.GaussianBlur(np.sqrt(depth / radius), (0, 0), 2)
        slope_y, slope_x = np.gradient(height)
    else:
        slope_x, slope_y = (part * 0.02 for part in grid(len(skin)))
    angle = rng.uniform(0, 2 * np.pi)
    light = (slope_x * np.cos(angle) + slope_y * np.sin(angle)).astype(np.float32)
    light *= rng.uniform(0.05, 0.3) / (np.abs(light).max() + 1e-6)
    return np.asarray(skin + light[..., None], np.float32)


def cast_shadow(rng: Generator, image: Image, coverage: Map, radius: float) -> Image:
    """Darken `image` beside `coverage`, in two of five cases."""
    if rng.random() < 0.6:
        return image
    offset = tuple(np.round(rng.normal(0, 0.12 * radius + 1, 2)).astype(int))
    shadow = cv2.GaussianBlur(np.roll(coverage, offset, (0, 1)), (0, 0), 1 + 0.08 * radius)
    return np.asarray(image * (1 - rng.uniform(0.1, 0.5) * shadow[..., None]), np.float32)
