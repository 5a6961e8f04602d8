"""Training views of an image: all of it or a window around an object, turned, with other light and sharpness."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from sam_backend.samples import Cropped, Sample
from sam_backend.segmenters.protocol import Window
from sam_backend.segmenters.windows import LEAST_SIDE, window_around

GRID = 256
"""Side in cells of the mask logits of SAM and of `nano`."""

MIN_CELLS = 4
"""Cells; smaller masks are no target, because a click could not be placed on them."""

_WHOLE = 0.5
_SMALLEST_WINDOW = 96

Padding = tuple[int, int, int]
"""The colour (R, G, B) around an image that does not fill the square."""


@dataclass(frozen=True, eq=False)
class View:
    """An image as a training shows it to the encoder, and its objects.

    Attributes
    ----------
    image : uint8 RGB (S, S, 3), padded at the right and the bottom.
    coverage : float32 (N, 256, 256) in [0, 1], the share of each cell that each object covers.
    objects : tuple of N int, the indices of these objects in the sample; the others are too small here, or outside.
    """

    image: NDArray[np.uint8]
    coverage: NDArray[np.float32]
    objects: tuple[int, ...]


def served_views(sample: Sample, size: int, padding: Padding, objects: int, crops: int) -> list[View]:
    """Return the views in which serving shows the objects of an image to the encoder.

    The first is all of the image, with its long side at `size` pixels. Objects that are too small in it have crops
    around them, the windows of the second look (`sam_backend.segmenters.focus`).

    Parameters
    ----------
    sample : Sample.
    size : int, side of the encoder's input in pixels.
    padding : Padding.
    objects : int, the most objects in all views; if some need a crop, at least half of them are from crops.
    crops : int, the most crops.
    """
    height, width = sample.image.shape[:2]
    everything = range(len(sample.objects))
    whole = _show(sample, (0, 0, width, height), size, padding, 0, objects=everything)
    left = [index for index in everything if index not in whole.objects and is_target(sample.objects[index].cropped)]
    views: list[View] = []
    room = objects - min(len(whole.objects), objects)
    for index in left:
        room = max(room, objects // 2)
        shown = {number for view in views for number in view.objects}
        if len(views) == crops or len(shown) >= room:
            break
        if index not in shown:
            window = native_window(sample.objects[index].cropped)
            members = [number for number in left if number not in shown]
            view = _show(sample, window, size, padding, 0, objects=members)
            if view.objects:
                views.append(_first(view, room - len(shown)))
    shown_in_crops = sum(len(view.objects) for view in views)
    return [view for view in [_first(whole, objects - shown_in_crops), *views] if view.objects]


def random_view(rng: Generator, sample: Sample, size: int, padding: Padding) -> View:
    """Return a random view of an image with objects: half of the time all of it, else a window around an object.

    A window around an object that is too small in it is narrowed to that of the second look; so is all of an image
    whose objects are all too small in it. Views are mirrored and turned by right angles, which keeps pixels and masks
    exact. Light, contrast, sharpness and noise vary as between cameras and lamps. Hues do not vary, because they matter
    on a production line.
    """
    height, width = sample.image.shape[:2]
    everything = range(len(sample.objects))
    window, picked = (0, 0, width, height), None
    if rng.random() >= _WHOLE:
        picked = int(rng.integers(len(sample.objects)))
        window = _window(rng, sample, picked)
    view = _show(sample, window, size, padding, int(rng.integers(8)), rng, objects=everything)
    if view.objects and (picked is None or picked in view.objects):
        return view
    large = [index for index in everything if is_target(sample.objects[index].cropped)]
    if picked not in large and large:
        picked = large[int(rng.integers(len(large)))]
    if picked is None:
        return view
    native = native_window(sample.objects[picked].cropped)
    narrow = _show(sample, native, size, padding, int(rng.integers(8)), rng, objects=everything)
    return narrow if narrow.objects else view


def native_window(shown: Cropped) -> Window:
    """Return the window xyxy of the second look around an object.

    Around an object that is long and too thin to be seen in it, it is a window of the least side on its middle.
    """
    rows, columns = shown.place
    size = (shown.size[0], shown.size[1])
    window = window_around(np.array([columns.start, rows.start, columns.stop, rows.stop], np.float32), size)
    left, top, right, bottom = window
    side, inside = max(right - left, bottom - top), _inside(shown, window)
    if side <= LEAST_SIDE or inside is None:
        return window
    cells = (max(1, round((right - left) * GRID / side)), max(1, round((bottom - top) * GRID / side)))
    if int((cv2.resize(inside, cells, interpolation=cv2.INTER_AREA) >= 0.5).sum()) >= MIN_CELLS:
        return window
    pixels = np.argwhere(shown.part)
    nearest = pixels[np.argmin(((pixels - np.array(shown.part.shape) / 2) ** 2).sum(1))]
    point = np.array([columns.start + nearest[1], rows.start + nearest[0]], np.float32)
    return window_around(np.concatenate([point, point + 1]), size)


def is_target(shown: Cropped) -> bool:
    """Return whether an object can be learnt from: in a window of the second look a pixel is a cell at most."""
    return shown.area >= MIN_CELLS


def _first(view: View, count: int) -> View:
    """Return a view with its first objects alone."""
    return View(view.image, view.coverage[:count], view.objects[:count])


def _window(rng: Generator, sample: Sample, index: int) -> Window:
    """Return a random window xyxy around an object, between a close one and the whole image."""
    height, width = sample.image.shape[:2]
    shown = sample.objects[index].cropped
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
    window: Window,
    size: int,
    padding: Padding,
    turn: int,
    rng: Generator | None = None,
    *,
    objects: Iterable[int],
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
    coverages, indices = [], []
    for index in objects:
        inside = _inside(sample.objects[index].cropped, window)
        if inside is None:
            continue
        mask = _turned(inside, turn)
        finer = (grid_columns, grid_rows)
        shrunk = cv2.resize(mask, finer, interpolation=cv2.INTER_AREA if scale * GRID < size else cv2.INTER_LINEAR)
        if int((shrunk >= 0.5).sum()) >= MIN_CELLS:
            coverage = np.zeros((GRID, GRID), np.float32)
            coverage[:grid_rows, :grid_columns] = shrunk
            coverages.append(coverage)
            indices.append(index)
    stacked = np.stack(coverages) if coverages else np.zeros((0, GRID, GRID), np.float32)
    return View(canvas, stacked, tuple(indices))


def _inside(shown: Cropped, window: Window) -> NDArray[np.float32] | None:
    """Return the part of a mask in a window, 0 or 1; None where the window has nothing of it."""
    left, top, right, bottom = window
    rows, columns = shown.place
    first_row, last_row = max(rows.start, top), min(rows.stop, bottom)
    first_column, last_column = max(columns.start, left), min(columns.stop, right)
    part = shown.part[
        first_row - rows.start : max(last_row, first_row) - rows.start,
        first_column - columns.start : max(last_column, first_column) - columns.start,
    ]
    if not part.any():
        return None
    mask = np.zeros((bottom - top, right - left), np.float32)
    mask[first_row - top : last_row - top, first_column - left : last_column - left] = part
    return mask


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
