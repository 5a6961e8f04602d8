"""Defects that are drawn onto a surface, with their exact masks."""

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from sam_backend.arrays import BoolArray
from sam_backend.demo.surfaces import FloatImage, clouds

Defect = Callable[[FloatImage, np.random.Generator], tuple[FloatImage, BoolArray]]
_SUBPIXEL = 4  # binary digits of a coordinate after the point, for OpenCV


def scratch(surface: FloatImage, rng: np.random.Generator) -> tuple[FloatImage, BoolArray]:
    """Return the surface with one long bent scratch, bright on one side and dark on the other, and its mask."""
    height, width = _size(surface)
    along = np.linspace(0, 1, 80)[:, None]
    start, end = rng.uniform((0.12, 0.2), (0.25, 0.8)), rng.uniform((0.75, 0.2), (0.88, 0.8))
    bend = rng.uniform(-0.12, 0.12) * np.sin(np.pi * along)
    path = (start + along * (end - start) + np.hstack([np.zeros_like(bend), bend])) * (width, height)
    thickness = 4 + 3 * np.sin(np.pi * along[:, 0]) ** 0.5
    groove = _polyline((height, width), path, thickness)
    lit = _polyline((height, width), path + np.array([0.0, 2.0]), thickness / 2)
    drawn = surface + groove[..., None] * np.float32(-55) + lit[..., None] * np.float32(120)
    return np.asarray(drawn, np.float32), groove > 0.5


def crack(surface: FloatImage, rng: np.random.Generator) -> tuple[FloatImage, BoolArray]:
    """Return the surface with a jagged dark crack that forks once, and its mask."""
    height, width = _size(surface)
    trunk = _walk(rng, np.array([rng.uniform(0.3, 0.7) * width, 0.08 * height]), np.pi / 2, int(0.84 * height / 6))
    fork = len(trunk) // 2
    branch = _walk(rng, trunk[fork], np.pi / 2 + rng.choice([-0.9, 0.9]), len(trunk) // 3)
    gap = np.maximum(
        _polyline((height, width), trunk, 9 - 5 * np.linspace(0, 1, len(trunk))),
        _polyline((height, width), branch, 6 - 4 * np.linspace(0, 1, len(branch))),
    )
    drawn = surface * (1 - 0.72 * gap[..., None])
    return np.asarray(drawn, np.float32), gap > 0.5


def pit(surface: FloatImage, rng: np.random.Generator) -> tuple[FloatImage, BoolArray]:
    """Return the surface with one hole, shaded inside and lit along its far edge, and its mask."""
    inside = _blob(_size(surface), rng, radius=rng.uniform(0.05, 0.09), softness=1.2, roughness=0.25)
    shifted = np.roll(inside, (-4, -4), (0, 1))
    rim = np.clip(inside - shifted, 0, 1)
    drawn = surface * (1 - 0.62 * inside[..., None]) + 60 * rim[..., None]
    return np.asarray(drawn, np.float32), inside > 0.5


def stain(surface: FloatImage, rng: np.random.Generator) -> tuple[FloatImage, BoolArray]:
    """Return the surface with a dried spill, darker towards its edge, the texture showing through, and its mask."""
    spill = _blob(_size(surface), rng, radius=rng.uniform(0.13, 0.2), softness=2.0, roughness=0.45)
    edge = np.clip(spill - cv2.GaussianBlur(spill, (0, 0), 12), 0, 1)
    strength = (0.26 * spill + 0.3 * edge)[..., None]
    tint = np.asarray((0.75, 0.95, 1.35), np.float32)  # darkens blue most, as rust and oil do
    return np.asarray(surface * (1 - strength * tint), np.float32), spill > 0.5


def _size(surface: FloatImage) -> tuple[int, int]:
    height, width = surface.shape[:2]
    return height, width


def _polyline(size: tuple[int, int], path: NDArray[np.float64], thickness: NDArray[np.floating]) -> FloatImage:
    """Draw a path of changing thickness with anti-aliased edges; values are 0 to 1."""
    canvas = np.zeros(size, np.uint8)
    points = np.round(path * 2**_SUBPIXEL).astype(int).tolist()
    for start, end, wide in zip(points, points[1:], thickness.tolist(), strict=False):
        cv2.line(canvas, start, end, 255, max(1, round(wide)), cv2.LINE_AA, _SUBPIXEL)
    return np.asarray(cv2.GaussianBlur(canvas, (0, 0), 0.7) / np.float32(255), np.float32)


def _walk(rng: np.random.Generator, start: NDArray[np.float64], heading: float, steps: int) -> NDArray[np.float64]:
    """Return a jagged path (steps, 2) of six-pixel steps that roughly keeps its heading (radians)."""
    turns = heading + rng.normal(0, 0.55, steps) + 0.5 * np.sin(np.linspace(0, rng.uniform(4, 9), steps))
    return np.asarray(start + np.cumsum(6 * np.stack([np.cos(turns), np.sin(turns)], 1), axis=0))


def _blob(
    size: tuple[int, int], rng: np.random.Generator, *, radius: float, softness: float, roughness: float
) -> FloatImage:
    """Return one uneven round patch, 1 inside and 0 outside; `radius` is a fraction of the shorter side."""
    height, width = size
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    middle_y, middle_x = rng.uniform(0.3, 0.7) * height, rng.uniform(0.3, 0.7) * width
    reach = radius * min(size)
    distance = np.hypot((rows - middle_y) * rng.uniform(0.8, 1.25), columns - middle_x)
    distance += roughness * reach * clouds(size, rng, grain=1.2 * reach, octaves=3)
    _, patches, boxes, _ = cv2.connectedComponentsWithStats((distance < reach).astype(np.uint8))
    largest = 1 + int(np.argmax(boxes[1:, cv2.CC_STAT_AREA]))  # one defect per image, without splashes
    return np.asarray(cv2.GaussianBlur((patches == largest).astype(np.float32), (0, 0), softness))
