"""Procedural textures: grey maps (size, size) float32 of mean 0 and standard deviation 1, and colour."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Map = NDArray[np.floating[Any]]


def standardise(values: Map) -> Map:
    """Return `values` with mean 0 and standard deviation 1."""
    return np.asarray((values - values.mean()) / (values.std() + 1e-6), np.float32)


def grid(size: int) -> tuple[Map, Map]:
    """Return x and y of every pixel, each (size, size), from -1 to 1."""
    line = np.linspace(-1, 1, size, dtype=np.float32)
    x, y = np.meshgrid(line, line)
    return x, y


def fractal_noise(rng: Generator, size: int, slope: float | None = None, first: int | None = None) -> Map:
    """Sum of octaves of smooth noise; `slope` weighs coarse (high) against fine (low), `first` is the coarsest grid."""
    slope = rng.uniform(0.4, 1.8) if slope is None else slope
    cells = int(rng.integers(2, 12)) if first is None else first
    stretch = 2.0 ** rng.uniform(-1.5, 1.5) if rng.random() < 0.4 else 1.0
    total = np.zeros((size, size), np.float32)
    while cells < size:
        shape = (max(2, int(cells * stretch)), max(2, int(cells / stretch)))
        octave = rng.standard_normal(shape).astype(np.float32)
        total += cv2.resize(octave, (size, size), interpolation=cv2.INTER_CUBIC) * cells**-slope
        cells *= 2
    return standardise(total)


def brushed(rng: Generator, size: int) -> Map:
    """Fine streaks along one direction: brushed, rolled or ground metal."""
    wide = int(size * 1.5)
    noise = rng.standard_normal((wide, wide)).astype(np.float32)
    noise = cv2.GaussianBlur(noise, (0, 0), sigmaX=rng.uniform(8, 60), sigmaY=rng.uniform(0.4, 2.0))
    angle = rng.choice([0.0, 90.0, rng.uniform(0, 180)])
    turn = cv2.getRotationMatrix2D((wide / 2, wide / 2), float(angle), 1.0)
    noise = cv2.warpAffine(noise, turn, (wide, wide), borderMode=cv2.BORDER_REFLECT)
    start = (wide - size) // 2
    return standardise(noise[start : start + size, start : start + size])


def grains(rng: Generator, size: int) -> Map:
    """Voronoi cells of random grey: cast metal, stone, crushed aggregate."""
    count = int(rng.integers(60, 2500))
    seeds = np.full((size, size), 255, np.uint8)
    seeds[rng.integers(0, size, count), rng.integers(0, size, count)] = 0
    distance, cells = cv2.distanceTransformWithLabels(seeds, cv2.DIST_L2, 3, labelType=cv2.DIST_LABEL_PIXEL)
    grey = rng.standard_normal(int(cells.max()) + 1).astype(np.float32)[cells]
    grey -= rng.uniform(0, 1.5) * standardise(distance)
    return standardise(cv2.GaussianBlur(grey, (0, 0), rng.uniform(0.4, 1.5)))


def speckle(rng: Generator, size: int) -> Map:
    """Fine, structureless grain: sand-blasted, painted, printed, noisy."""
    noise = rng.standard_normal((size, size)).astype(np.float32)
    return standardise(cv2.GaussianBlur(noise, (0, 0), rng.uniform(0.3, 2.5)))


def weave(rng: Generator, size: int) -> Map:
    """Crossing threads: cloth, mesh, grid, knurl."""
    x, y = grid(size)
    angle = rng.uniform(0, np.pi)
    u, v = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    wobble = fractal_noise(rng, size, 1.2, 3) * rng.uniform(0, 0.02)
    frequency = rng.uniform(10, 60, 2)
    threads = np.sin((u + wobble) * frequency[0] * np.pi) + rng.uniform(0, 1) * np.sin(
        (v + wobble) * frequency[1] * np.pi
    )
    return standardise(threads.astype(np.float32) + rng.uniform(0, 0.8) * speckle(rng, size))


def wood(rng: Generator, size: int) -> Map:
    """Distorted rings: wood, marble, rubber flow lines."""
    x, y = grid(size)
    angle = rng.uniform(0, np.pi)
    across = x * np.cos(angle) + y * np.sin(angle)
    bend = fractal_noise(rng, size, 1.4, 2) * rng.uniform(0.03, 0.25)
    rings = np.sin((across + bend) * rng.uniform(6, 50))
    return standardise(rings.astype(np.float32) + rng.uniform(0, 0.6) * speckle(rng, size))


def smooth(rng: Generator, size: int) -> Map:
    """Almost nothing: a soft gradient with a trace of noise; plastic, glass, paint, sky."""
    x, y = grid(size)
    angle = rng.uniform(0, 2 * np.pi)
    ramp = x * np.cos(angle) + y * np.sin(angle)
    return standardise(ramp + rng.uniform(0.02, 0.3) * speckle(rng, size))


TEXTURES: tuple[Callable[[Generator, int], Map], ...] = (
    fractal_noise,
    fractal_noise,
    brushed,
    grains,
    speckle,
    weave,
    wood,
    smooth,
)


def any_texture(rng: Generator, size: int) -> Map:
    """Return a random texture, sometimes two mixed."""
    texture = TEXTURES[rng.integers(len(TEXTURES))](rng, size)
    if rng.random() < 0.3:
        share = rng.uniform(0.2, 0.6)
        texture = standardise((1 - share) * texture + share * TEXTURES[rng.integers(len(TEXTURES))](rng, size))
    return texture


def colourise(rng: Generator, texture: Map, grey: bool, centre: float | None = None) -> Map:
    """Turn a standardised texture into RGB (size, size, 3) float32 of about 0 to 1.

    `centre` is the mean brightness; None draws it. A grey scene gets no hue.
    """
    centre = rng.uniform(0.15, 0.85) if centre is None else centre
    contrast = rng.uniform(0.01, 0.16) * (0.4 + min(centre, 1 - centre))
    base = np.full(3, centre, np.float32)
    along = np.full(3, contrast, np.float32)
    if not grey:
        base += rng.normal(0, 0.16, 3).astype(np.float32)
        along *= rng.uniform(0.4, 1.6, 3).astype(np.float32)
    clipped = np.clip(texture, -3, 3)
    return np.asarray(base + clipped[..., None] * along, np.float32)
