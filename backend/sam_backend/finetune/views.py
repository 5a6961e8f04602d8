"""Training views of an image: all of it or a window around an object, turned, with other light and sharpness."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from sam_backend.samples import Sample

GRID = 256
"""Side in cells of the mask logits of SAM and of `nano`."""

MIN_CELLS = 4
"""Cells; smaller masks are no target, because a click could not be placed on them."""

_WHOLE = 0.5
_SMALLEST_WINDOW = 96


@dataclass(frozen=True, eq=False)
class View:
    """An image as a training shows it to the encoder, and its objects.

    Attributes
    ----------
    image : uint8 RGB (S, S, 3), padded at the right and the bottom.
    coverage : float32 (N, 256, 256) in [0, 1], the share of each cell that each object covers.
    """

    image: NDArray[np.uint8]
    coverage: NDArray[np.float32]


def served_view(sample: Sample, size: int, padding: tuple[int, int, int]) -> View:
    """Return the view that serving shows to the encoder: all of the image, with its long side at `size` pixels."""
    height, width = sample.image.shape[:2]
    return _show(sample, (0, 0, width, height), size, padding, 0)


def random_view(rng: Generator, sample: Sample, size: int, padding: tuple[int, int, int]) -> View:
    """Return a random view of an image with objects: half of the time all of it, else a window around an object.

    Views are mirrored and turned by right angles, which keeps pixels and masks exact. Light, contrast, sharpness and
    noise vary as between cameras and lamps. Hues do not vary, because they matter on a production line.
    """
    height, width = sample.image.shape[:2]
    window = (0, 0, width, height)
    if rng.random() >= _WHOLE:
        window = _window(rng, sample)
    view = _show(sample, window, size, padding, int(rng.integers(8)), rng)
    if not len(view.coverage):
        return _show(sample, (0, 0, width, height), size, padding, int(rng.integers(8)), rng)
    return view


def _window(rng: Generator, sample: Sample) -> tuple[int, int, int, int]:
    """Return a random window xyxy around an object, between a close one and the whole image."""
    height, width = sample.image.shape[:2]
    shown = sample.objects[int(rng.integers(len(sample.objects)))].cropped
    rows, columns = shown.place
    least = min(max(1.3 * max(shown.part.shape), _SMALLEST_WINDOW), max(height, width))
    side = least * (max(height, width) / least) ** rng.random()
    spans = []
    for inside, length in ((columns, width), (rows, height)):
        span = min(round(side), length)
        low, high = max(inside.stop - span, 0), min(inside.start, length - span)
        start = int(rng.integers(min(low, high), max(low, high) + 1))
        spans.append((start, start + span))
    (left, right), (top, bottom) = spans
    return left, top, right, bottom


def _show(
    sample: Sample,
    window: tuple[int, int, int, int],
    size: int,
    padding: tuple[int, int, int],
    turn: int,
    rng: Generator | None = None,
) -> View:
    left, top, right, bottom = window
    part = _turned(sample.image[top:bottom, left:right], turn)
    height, width = part.shape[:2]
    scale = size / max(height, width)
    rows, columns = max(1, round(height * scale)), max(1, round(width * scale))
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    image = cv2.resize(part, (columns, rows), interpolation=way)
    canvas = np.empty((size, size, 3), np.uint8)
    canvas[:] = padding
    canvas[:rows, :columns] = image if rng is None else _photographed(rng, image)
    # The size of the part on the canvas, in cells.
    grid_rows, grid_columns = max(1, round(rows * GRID / size)), max(1, round(columns * GRID / size))
    coverages = []
    for target in sample.objects:
        mask = _turned(target.mask[top:bottom, left:right].astype(np.float32), turn)
        if not mask.any():
            continue
        finer = (grid_columns, grid_rows)
        shrunk = cv2.resize(mask, finer, interpolation=cv2.INTER_AREA if scale * GRID < size else cv2.INTER_LINEAR)
        if int((shrunk >= 0.5).sum()) >= MIN_CELLS:
            coverage = np.zeros((GRID, GRID), np.float32)
            coverage[:grid_rows, :grid_columns] = shrunk
            coverages.append(coverage)
    return View(canvas, np.stack(coverages) if coverages else np.zeros((0, GRID, GRID), np.float32))


def _turned(array: NDArray[np.generic], turn: int) -> NDArray[np.generic]:
    """Return an array in one of the eight orientations of a square; `turn` is 0 to 7."""
    mirrored = array[:, ::-1] if turn & 4 else array
    return np.ascontiguousarray(np.rot90(mirrored, turn & 3))


def _photographed(rng: Generator, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return an image (H, W, 3) with the light, sharpness and noise of another lamp and camera."""
    if rng.random() < 0.3:
        image = cv2.GaussianBlur(image, (0, 0), float(rng.uniform(0.4, 1.6)))
    values: NDArray[np.floating] = image.astype(np.float32)
    height, width = image.shape[:2]
    if rng.random() < 0.4:
        # With a lamp at the side, the brightness falls across the part.
        slope = rng.normal(0, 0.12, 2)
        across = slope[0] * np.linspace(-1, 1, width)[None, :] + slope[1] * np.linspace(-1, 1, height)[:, None]
        values *= (1 + across[..., None]).astype(np.float32)
    if rng.random() < 0.8:
        mean = float(values.mean())
        values = (values - mean) * float(2.0 ** rng.normal(0, 0.25)) + mean + float(rng.normal(0, 14))
    if rng.random() < 0.3:
        values = np.float32(255) * (np.clip(values, 0, 255) / 255) ** np.float32(2.0 ** rng.normal(0, 0.25))
    if rng.random() < 0.3:
        values = values + rng.normal(0, rng.uniform(1, 6), (height, width, 1)).astype(np.float32)
    return np.asarray(np.clip(values, 0, 255), np.uint8)
