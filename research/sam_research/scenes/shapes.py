"""Random shapes as soft coverage maps (size, size) float32 from 0 to 1; a mask is where coverage exceeds one half."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from sam_research.scenes.textures import Map, fractal_noise

Points = NDArray[np.float64]
_SHIFT = 4  # fractional bits of OpenCV's sub-pixel drawing


def fill(size: int, points: Points) -> Map:
    """Return the anti-aliased filled polygon with `points` (N, 2) xy in pixels."""
    canvas = np.zeros((size, size), np.uint8)
    cv2.fillPoly(canvas, [np.round(points * 2**_SHIFT).astype(np.int32)], 255, cv2.LINE_AA, _SHIFT)
    return np.asarray(canvas, np.float32) / 255


def stroke(size: int, points: Points, width: float) -> Map:
    """Return an anti-aliased line through `points` (N, 2) xy in pixels, `width` pixels wide, also under one."""
    canvas = np.zeros((size, size), np.uint8)
    line = [np.round(points * 2**_SHIFT).astype(np.int32)]
    cv2.polylines(canvas, line, False, 255, max(1, round(width)), cv2.LINE_AA, _SHIFT)
    return np.asarray(canvas, np.float32) / 255


def _turn(points: Points, angle: float) -> Points:
    cosine, sine = np.cos(angle), np.sin(angle)
    return np.asarray(points @ np.array([[cosine, sine], [-sine, cosine]]))


def blob(rng: Generator, size: int, centre: Points, radius: float) -> Map:
    """Draw a closed curve with a random Fourier radius: a smooth or rugged blob."""
    angles = np.linspace(0, 2 * np.pi, 96, endpoint=False)
    outline = np.ones_like(angles)
    for order in range(2, int(rng.integers(3, 12))):
        outline += rng.normal(0, rng.uniform(0.1, 0.6) / order) * np.cos(order * angles + rng.uniform(0, 2 * np.pi))
    points = np.stack([np.cos(angles), np.sin(angles)], 1) * np.clip(outline, 0.25, 2.5)[:, None] * radius
    points[:, 1] *= 2.0 ** -rng.uniform(0, 2.2)
    return fill(size, centre + _turn(points, rng.uniform(0, np.pi)))


def polygon(rng: Generator, size: int, centre: Points, radius: float) -> Map:
    """Random polygon of 3 to 9 corners, from regular to irregular."""
    corners = int(rng.integers(3, 10))
    jitter = rng.uniform(0, 0.8)
    angles = (np.arange(corners) + rng.uniform(-0.5, 0.5, corners) * jitter) * 2 * np.pi / corners
    lengths = radius * (1 - rng.uniform(0, 0.6, corners) * jitter)
    points = np.stack([np.cos(angles), np.sin(angles)], 1) * lengths[:, None]
    points[:, 1] *= 2.0 ** -rng.uniform(0, 1.5)
    return fill(size, centre + _turn(points, rng.uniform(0, np.pi)))


def rectangle(rng: Generator, size: int, centre: Points, radius: float) -> Map:
    """Rectangle, mostly turned, of any aspect ratio up to 1 to 8."""
    half = np.array([radius, radius * 2.0 ** -rng.uniform(0, 3)])
    points = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * half
    return fill(size, centre + _turn(points, rng.choice([0.0, np.pi / 2, rng.uniform(0, np.pi)])))


def ellipse(rng: Generator, size: int, centre: Points, radius: float) -> Map:
    """Ellipse, sometimes with a hole: washer, ring, rim."""
    angles = np.linspace(0, 2 * np.pi, 72, endpoint=False)
    points = np.stack([np.cos(angles), np.sin(angles) * 2.0 ** -rng.uniform(0, 1.8)], 1) * radius
    turned = _turn(points, rng.uniform(0, np.pi))
    coverage = fill(size, centre + turned)
    if rng.random() < 0.2:
        coverage = coverage - fill(size, centre + turned * rng.uniform(0.3, 0.8))
    return np.asarray(coverage, np.float32)


def cloud(rng: Generator, size: int, centre: Points, radius: float) -> Map:
    """Thresholded noise inside a soft disk: ragged, sometimes in several pieces."""
    y, x = np.mgrid[:size, :size].astype(np.float32)
    distance = np.hypot(x - centre[0], y - centre[1]) / radius
    field = fractal_noise(rng, size, rng.uniform(0.8, 1.6), int(np.clip(size / radius, 2, 24)))
    steep = rng.uniform(1.5, 6)
    return np.asarray(np.clip(0.5 + steep * (1.0 - distance + 0.35 * field), 0, 1), np.float32)


def ribbon(rng: Generator, size: int, centre: Points, radius: float) -> Map:
    """Thick curved stroke: wire, hose, weld bead, letter-like."""
    return stroke(size, curve(rng, centre, 2 * radius), rng.uniform(0.08, 0.4) * radius + 2)


def text(rng: Generator, size: int, centre: Points, radius: float) -> Map:
    """One to four characters: print, stamp, engraving."""
    symbols = "".join(rng.choice(list("ABCDEFGHKLMNPRSTXZ0123456789+-#"), int(rng.integers(1, 5))))
    canvas = np.zeros((size, size), np.uint8)
    scale = radius / 24
    thickness = max(1, round(scale * rng.uniform(1.5, 5)))
    face = int(rng.choice([cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_TRIPLEX]))
    (width, height), _ = cv2.getTextSize(symbols, face, scale, thickness)
    origin = (int(centre[0] - width / 2), int(centre[1] + height / 2))
    cv2.putText(canvas, symbols, origin, face, scale, 255, thickness, cv2.LINE_AA)
    return np.asarray(canvas, np.float32) / 255


def curve(rng: Generator, centre: Points, length: float, bend: float | None = None) -> Points:
    """Return points (64, 2) of a smooth open curve of about `length` pixels through `centre`."""
    bend = rng.uniform(0, 0.5) if bend is None else bend
    heading = rng.uniform(0, 2 * np.pi)
    turning = np.cumsum(rng.normal(0, 1, 64))
    turning = np.convolve(np.pad(turning - turning.mean(), 8, mode="edge"), np.ones(17) / 17, "valid")
    angles = heading + bend * turning / 3
    steps = np.stack([np.cos(angles), np.sin(angles)], 1) * length / 64
    points = np.cumsum(steps, 0)
    return np.asarray(points - points[32] + centre)


SHAPES: tuple[Callable[[Generator, int, Points, float], Map], ...] = (
    blob,
    blob,
    polygon,
    rectangle,
    ellipse,
    cloud,
    ribbon,
    text,
)


def any_shape(rng: Generator, size: int, centre: Points, radius: float) -> Map:
    """Return a random shape of about `radius` pixels, sometimes the union of two."""
    coverage = SHAPES[rng.integers(len(SHAPES))](rng, size, centre, radius)
    if rng.random() < 0.15:
        offset = rng.normal(0, radius / 2, 2)
        other = SHAPES[rng.integers(len(SHAPES))](rng, size, centre + offset, radius * rng.uniform(0.4, 0.9))
        coverage = np.maximum(coverage, other)
    return coverage
