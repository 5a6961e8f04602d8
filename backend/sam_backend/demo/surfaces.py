"""Textures of industrial surfaces, on which defects are drawn."""

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

FloatImage = NDArray[np.float32]
Surface = Callable[[tuple[int, int], np.random.Generator], FloatImage]


def clouds(size: tuple[int, int], rng: np.random.Generator, *, grain: float, octaves: int = 4) -> FloatImage:
    """Return a smooth random relief, about -1 to 1; every octave has half the size and half the strength of the last.

    Parameters
    ----------
    size : (height, width) in pixels.
    rng : Generator, the source of randomness.
    grain : float, the size of the largest blobs in pixels.
    octaves : int, the number of octaves.
    """
    relief = np.zeros(size, np.float32)
    for octave in range(octaves):
        cell = max(grain / 2**octave, 1.0)
        coarse = rng.standard_normal((int(size[0] / cell) + 3, int(size[1] / cell) + 3)).astype(np.float32)
        relief += cv2.resize(coarse, size[::-1], interpolation=cv2.INTER_CUBIC) / 2**octave
    return np.asarray(relief / np.float32(1.5), np.float32)


def _colour(brightness: FloatImage, tint: tuple[float, float, float]) -> FloatImage:
    return np.asarray(brightness[..., None] * np.asarray(tint, np.float32), np.float32)


def brushed_metal(size: tuple[int, int], rng: np.random.Generator) -> FloatImage:
    """Return brushed steel (H, W, 3), 0 to 255: fine lines and a broad reflection."""
    lines = cv2.GaussianBlur(rng.standard_normal(size).astype(np.float32), (0, 0), sigmaX=40, sigmaY=0.6)
    across = np.linspace(-1, 1, size[0], dtype=np.float32)[:, None]
    reflection = np.exp(-(((across - rng.uniform(-0.4, 0.4)) / 0.7) ** 2))
    return _colour(118 + 55 * reflection + 70 * lines + 3 * clouds(size, rng, grain=300), (0.98, 1.0, 1.02))


def concrete(size: tuple[int, int], rng: np.random.Generator) -> FloatImage:
    """Return concrete (H, W, 3), 0 to 255: spots and fine sand."""
    sand = cv2.GaussianBlur(rng.standard_normal(size).astype(np.float32), (0, 0), 0.8)
    return _colour(150 + 10 * clouds(size, rng, grain=160, octaves=6) + 12 * sand, (1.0, 0.98, 0.94))


def ceramic(size: tuple[int, int], rng: np.random.Generator) -> FloatImage:
    """Return a glazed tile (H, W, 3), 0 to 255: even, with a weak reflection."""
    across = np.linspace(-1, 1, size[1], dtype=np.float32)[None]
    gloss = 9 * np.exp(-(((across - rng.uniform(-0.5, 0.5)) / 0.4) ** 2))
    return _colour(196 + gloss + 2.5 * clouds(size, rng, grain=240, octaves=3), (0.97, 1.0, 1.0))


def cast_iron(size: tuple[int, int], rng: np.random.Generator) -> FloatImage:
    """Return the rough surface of a casting (H, W, 3), 0 to 255, lit from the side."""
    relief = clouds(size, rng, grain=14, octaves=3)
    return _colour(82 + 9 * cv2.Sobel(relief, cv2.CV_32F, 1, 1, ksize=3) + 8 * relief, (1.0, 1.0, 1.04))
