"""Random views of a scene: crops, turns, light, colour, noise, resolution, padding."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from sam_research.scenes import Scene

PADDING = 127
"""The grey level that is zero after normalisation, as SAM pads the short side with zeros."""


def view(rng: Generator, scene: Scene, size: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Return a random view (size, size, 3) of a scene and the coverage (N, size / 2, size / 2) of its masks.

    Some views are not square: they fill the top or the left and the rest is padding, as in serving.
    """
    rows, columns = scene.image.shape[:2]
    side = rng.uniform(0.4, 1.0) * min(rows, columns)
    aspect = rng.uniform(0.5, 1.0) if rng.random() < 0.35 else 1.0
    wide = rng.random() < 0.5
    width, height = (side, side * aspect) if wide else (side * aspect, side)
    x, y = rng.uniform(0, columns - width), rng.uniform(0, rows - height)
    scale = size / side
    matrix = np.array([[scale, 0, -x * scale + 0.5 * scale - 0.5], [0, scale, -y * scale + 0.5 * scale - 0.5]])
    out_width, out_height = max(8, round(width * scale)), max(8, round(height * scale))
    image = cv2.warpAffine(scene.image, matrix, (out_width, out_height), borderMode=cv2.BORDER_REFLECT)
    masks = [
        cv2.warpAffine(mask.astype(np.uint8) * 255, matrix, (out_width, out_height), borderMode=cv2.BORDER_CONSTANT)
        for mask in scene.masks
    ]
    if rng.random() < 0.5:
        image, masks = image[:, ::-1], [mask[:, ::-1] for mask in masks]
    if rng.random() < 0.5:
        image, masks = image[::-1], [mask[::-1] for mask in masks]
    if aspect == 1.0 and rng.random() < 0.5:
        image, masks = image.transpose(1, 0, 2), [mask.T for mask in masks]
    canvas = np.full((size, size, 3), PADDING, np.uint8)
    seen = photometric(rng, np.ascontiguousarray(image))
    canvas[: seen.shape[0], : seen.shape[1]] = seen
    coverage = np.zeros((len(masks), size // 2, size // 2), np.float32)
    for index, mask in enumerate(masks):
        full = np.zeros((size, size), np.uint8)
        full[: mask.shape[0], : mask.shape[1]] = mask
        coverage[index] = (
            cv2.resize(full, (size // 2, size // 2), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
        )
    return canvas, coverage


def photometric(rng: Generator, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return an image (H, W, 3) in another light: less sharp, grey, inverted, of other contrast, or noisy."""
    if rng.random() < 0.3:
        lower = rng.uniform(0.35, 0.9)
        small = cv2.resize(image, None, fx=lower, fy=lower, interpolation=cv2.INTER_AREA)
        image = cv2.resize(small, image.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    values = image.astype(np.float32)
    if rng.random() < 0.2:
        values = np.repeat(values.mean(2, keepdims=True), 3, 2)
    if rng.random() < 0.1:
        values = 255 - values
    contrast = 2.0 ** rng.normal(0, 0.35)
    mean = values.mean()
    values = (values - mean) * contrast + mean + rng.normal(0, 20)
    if rng.random() < 0.3:
        values += rng.normal(0, rng.uniform(1, 10), values.shape[:2]).astype(np.float32)[..., None]
    return np.asarray(np.clip(values, 0, 255), np.uint8)
