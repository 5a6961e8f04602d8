"""From a scene as it is to the file that a camera makes of it."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from sam_research.scenes.layers import Image
from sam_research.scenes.textures import Map, fractal_noise, grid


def photograph(rng: Generator, image: Image, grey: bool) -> NDArray[np.uint8]:
    """Uneven light, a lens, a sensor and a file format."""
    size = len(image)
    if rng.random() < 0.5:
        image = image + rng.uniform(0, 0.12) * fractal_noise(rng, size, 1.5, 2)[..., None]
    if rng.random() < 0.5:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.3, 1.2))
    noise = rng.standard_normal((*image.shape[:2], 1 if grey else 3)).astype(np.float32)
    return _file(rng, image + noise * rng.choice([0.005, rng.uniform(0, 0.05)]), grey)


def inspection_camera(rng: Generator, image: Image, grey: bool) -> NDArray[np.uint8]:
    """Take a picture under lamps at the side, with a lens that darkens its corners, defocus, and a cleaner sensor."""
    size = len(image)
    if rng.random() < 0.6:
        image = image * (1 + rng.uniform(0, 0.25) * soft_light(rng, size))[..., None]
    if rng.random() < 0.3:
        x, y = grid(size)
        image = image * (1 - rng.uniform(0.1, 0.5) * (x**2 + y**2) / 2)[..., None]
    if rng.random() < 0.15:
        # A glare: what a glossy surface shows of the lamp.
        image = image + rng.uniform(0.1, 0.4) * np.clip(soft_light(rng, size) - 0.5, 0, 1)[..., None]
    if rng.random() < 0.4:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.3, 1.6))
    noise = rng.standard_normal((size, size, 1 if grey else 3), np.float32)
    return _file(rng, image + noise * np.float32(rng.choice([0.004, rng.uniform(0, 0.035)])), grey)


def soft_light(rng: Generator, size: int) -> Map:
    """Return a very smooth map (size, size) of mean about 0, from about -1 to 1."""
    cells = rng.uniform(-1, 1, (int(rng.integers(2, 5)), int(rng.integers(2, 5)))).astype(np.float32)
    return np.asarray(cv2.resize(cells, (size, size), interpolation=cv2.INTER_CUBIC), np.float32)


def _file(rng: Generator, image: Image, grey: bool) -> NDArray[np.uint8]:
    if grey:
        image = np.repeat(image.mean(2, keepdims=True), 3, 2)
    out = np.clip(image * 255, 0, 255).astype(np.uint8)
    if rng.random() < 0.4:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(35, 95))]
        out = np.asarray(cv2.imdecode(cv2.imencode(".jpg", out, quality)[1], cv2.IMREAD_COLOR), np.uint8)
    return np.ascontiguousarray(out)
