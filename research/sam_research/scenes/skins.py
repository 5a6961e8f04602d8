"""Real textures and photographs as skins: random crops with another scale, turn, brightness, contrast and colour."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from sam_research.materials.collection import Library
from sam_research.scenes.layers import Image
from sam_research.scenes.textures import brushed, colourise, grains, smooth, speckle, weave


def surface(rng: Generator, library: Library, size: int, grey: bool) -> Image:
    """Return a surface (size, size, 3): mostly a real texture, else a crop of a photograph or a procedural one."""
    choice = rng.random()
    if choice < 0.2:
        texture = (brushed, brushed, smooth, speckle, grains, weave)[rng.integers(6)]
        return colourise(rng, texture(rng, size), grey)
    crop = _crop(rng, library.any(rng, "texture" if choice < 0.96 else "photo"), size)
    mean = crop.mean((0, 1))
    centre = mean if rng.random() < 0.4 else np.clip(mean.mean() * 0.3 + rng.uniform(0.1, 0.65), 0.08, 0.9)
    contrast = 2.0 ** rng.uniform(-2.2, 0.5)
    # What lay in the shade gets the contrast that it has in the light.
    contrast *= float(np.clip(np.mean(centre) / max(float(mean.mean()), 0.05), 0.6, 2.5))
    out = centre + (crop - mean) * contrast
    if grey:
        out = np.repeat(out.mean(2, keepdims=True), 3, 2)
    elif rng.random() < 0.4:
        out = out * np.clip(rng.normal(1, 0.12, 3), 0.6, 1.4)
    return np.asarray(out, np.float32)


def scenery(rng: Generator, library: Library, size: int, grey: bool) -> Image:
    """Return a photograph, or a large part of one, as (size, size, 3)."""
    picture = library.any(rng, "photo")
    side = int(min(picture.shape[:2]) * rng.uniform(0.6, 1))
    return _tone(rng, _cut(rng, picture, side, size), grey)


def stuff(rng: Generator, library: Library, size: int, grey: bool) -> Image:
    """Return what fills a region of one kind, such as sky, grass or a wall: a small part of a photograph, enlarged."""
    picture = library.any(rng, "photo")
    side = int(min(picture.shape[:2]) * rng.uniform(0.15, 0.45))
    return _tone(rng, _cut(rng, picture, side, size), grey)


def _crop(rng: Generator, picture: NDArray[np.uint8], size: int) -> Image:
    """Return a square crop, turned and mirrored, never enlarged more than twice."""
    while min(picture.shape[:2]) < size // 2:
        picture = cv2.copyMakeBorder(picture, 0, picture.shape[0] - 1, 0, picture.shape[1] - 1, cv2.BORDER_REFLECT)
    side = int(rng.uniform(size / 2, max(size / 2 + 1, min(picture.shape[:2]))))
    crop = np.rot90(_cut(rng, picture, side, size), int(rng.integers(4)))
    return np.ascontiguousarray(crop[:, ::-1] if rng.random() < 0.5 else crop)


def _cut(rng: Generator, picture: NDArray[np.uint8], side: int, size: int) -> Image:
    top = int(rng.integers(picture.shape[0] - side + 1))
    left = int(rng.integers(picture.shape[1] - side + 1))
    interpolation = cv2.INTER_AREA if side > size else cv2.INTER_CUBIC
    resized = cv2.resize(picture[top : top + side, left : left + side], (size, size), interpolation=interpolation)
    return np.asarray(resized, np.float32) / 255


def _tone(rng: Generator, image: Image, grey: bool) -> Image:
    if rng.random() < 0.5:
        image = np.clip(image, 0, 1) ** np.float32(2.0 ** rng.uniform(-0.7, 0.7))
    if grey:
        image = np.repeat(image.mean(2, keepdims=True), 3, 2)
    return np.asarray(image, np.float32)
