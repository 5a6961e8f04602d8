"""What of an image a training sees: all of it or a part around an object, turned, lit and blurred as cameras do."""

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
"""Masks smaller than this in the grid are no target: a click could not be placed on them."""

_WHOLE = 0.5
_SMALLEST_WINDOW = 96


@dataclass(frozen=True, eq=False)
class View:
    """What a training sees.

    Attributes
    ----------
    image : uint8 RGB (S, S, 3), padded at the right and the bottom.
    coverage : (N, 256, 256) float32 in [0, 1], how much of each cell each object covers.
    """

    image: NDArray[np.uint8]
    coverage: NDArray[np.float32]


def served_view(sample: Sample, size: int, padding: tuple[int, int, int]) -> View:
    """Return an image as serving shows it to the encoder: all of it, its long side `size`."""
    height, width = sample.image.shape[:2]
    return _show(sample, (0, 0, width, height), size, padding, 0)


def random_view(rng: Generator, sample: Sample, size: int, padding: tuple[int, int, int]) -> View:
    """Return a view of an image with objects: half the time all of it, else a window around one of them.

    Views are mirrored and turned by right angles, which leave pixels and masks exact; light, contrast, sharpness and
    noise vary as from camera to camera and lamp to lamp. Colours are not turned about: on a line they mean something.
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
    """Return a random window xyxy that holds an object, between closely around it and the whole image."""
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
    # In cells: the part as large as the canvas would show it.
    grid_rows, grid_columns = max(1, round(rows * GRID / size)), max(1, round(columns * GRID / size))
    found = []
    for each in sample.objects:
        mask = _turned(each.mask[top:bottom, left:right].astype(np.float32), turn)
        if not mask.any():
            continue
        finer = (grid_columns, grid_rows)
        shrunk = cv2.resize(mask, finer, interpolation=cv2.INTER_AREA if scale * GRID < size else cv2.INTER_LINEAR)
        if int((shrunk >= 0.5).sum()) >= MIN_CELLS:
            coverage = np.zeros((GRID, GRID), np.float32)
            coverage[:grid_rows, :grid_columns] = shrunk
            found.append(coverage)
    return View(canvas, np.stack(found) if found else np.zeros((0, GRID, GRID), np.float32))


def _turned(array: NDArray[np.generic], turn: int) -> NDArray[np.generic]:
    """Return one of the eight ways to lay a square: `turn` from 0 to 7."""
    mirrored = array[:, ::-1] if turn & 4 else array
    return np.ascontiguousarray(np.rot90(mirrored, turn & 3))


def _photographed(rng: Generator, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return an image (H, W, 3) under another lamp and through another camera."""
    if rng.random() < 0.3:
        image = cv2.GaussianBlur(image, (0, 0), float(rng.uniform(0.4, 1.6)))
    values: NDArray[np.floating] = image.astype(np.float32)
    height, width = image.shape[:2]
    if rng.random() < 0.4:
        # A lamp at the side: brightness falls across the part.
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
