"""Windows: parts of an image that are encoded as images of their own, and prompts moved between them."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from sam_backend.arrays import BoolArray, FloatArray
from sam_backend.masks import mask_box
from sam_backend.samples import Cropped
from sam_backend.segmenters.protocol import POSITIVE, Prompt, Window

CONTEXT = 2.0
"""A window's side, as a multiple of the longer side of the region that it surrounds."""

LEAST_SIDE = 256
"""The least side of a window in pixels: enlarging fewer pixels shows nothing new."""


def whole_image(size: tuple[int, int]) -> Window:
    """Return the window of a whole image of `size` (height, width)."""
    return 0, 0, size[1], size[0]


def side_of(window: Window) -> int:
    """Return a window's longer side in pixels."""
    return max(window[2] - window[0], window[3] - window[1])


def window_around(region: FloatArray, size: tuple[int, int]) -> Window:
    """Return a square around a region, moved into the image and cut where the image is narrower.

    Its side and its position are in steps of 1/16 to 1/8 of the side, so that nearly equal regions, for example a box
    that was moved a little, have the same window.

    Parameters
    ----------
    region : (4,) xyxy in pixels of the image.
    size : (height, width) of the image in pixels.
    """
    limits = np.array(size[::-1])
    low, high = np.clip(region[:2], 0, limits), np.clip(region[2:], 0, limits)
    wanted = max(CONTEXT * float((high - low).max()), LEAST_SIDE)
    step = 2 ** int(np.ceil(np.log2(wanted))) // 16
    side = int(np.ceil(wanted / step)) * step
    corner = np.round(((low + high) / 2 - side / 2) / step).astype(int) * step
    corner = np.clip(corner, 0, np.maximum(limits - side, 0))
    left, top, right, bottom = (int(edge) for edge in (*corner, *np.minimum(corner + side, limits)))
    return left, top, right, bottom


def contains(window: Window, region: FloatArray, size: tuple[int, int]) -> bool:
    """Return whether the part of a region inside the image lies in a window."""
    visible = np.clip(region, 0, np.tile(size[::-1], 2))
    return bool((visible[:2] >= window[:2]).all() and (visible[2:] <= window[2:]).all())


def prompted_region(prompt: Prompt) -> FloatArray | None:
    """Return the region (4,) xyxy around a prompt's box, positive points and drawn mask; None for one without them."""
    regions = [np.concatenate([point, point + 1]) for point in prompt.points[prompt.labels == POSITIVE]]
    if prompt.box is not None:
        regions.append(prompt.box)
    if prompt.drawn is not None:
        regions.append(np.array(prompt.drawn.box, np.float32))
    return enclosing(*regions) if regions else None


def mask_region(mask: BoolArray) -> FloatArray | None:
    """Return the region (4,) xyxy around a mask (H, W); None for an empty one."""
    box = mask_box(mask)
    return None if box is None else np.array(box, np.float32)


def logits_region(logits: FloatArray, window: Window) -> FloatArray | None:
    """Return the region (4,) xyxy in pixels of the image where the logits (h, w) of a window are positive, or None."""
    region = mask_region(logits > 0)
    return None if region is None else region / _scale(logits, window) + np.tile(_corner(window), 2)


def enclosing(*regions: FloatArray) -> FloatArray:
    """Return the smallest region (4,) xyxy around some regions."""
    stacked = np.stack(regions).astype(np.float32)
    around: FloatArray = np.concatenate([stacked[:, :2].min(0), stacked[:, 2:].max(0)])
    return around


def move_logits(logits: FloatArray, source: Window, target: Window) -> FloatArray:
    """Return logits (h, w) of the window `source` as logits (n, n) of the window `target`, n the longer of h and w.

    The longer side of the logits shows the longer side of their window; they may be padded to a square at the right or
    the bottom, as SAM's are. Outside `source` the result has the lowest of the logits.
    """
    side = max(logits.shape)
    shrunk = _scale(logits, source) * side_of(target) / side
    # The centre of a pixel is half a pixel from its corner.
    offset = (np.array(target[:2]) - source[:2]) * _scale(logits, source) + shrunk / 2 - 0.5
    inverse = np.array([[shrunk, 0, offset[0]], [0, shrunk, offset[1]]])
    moved: FloatArray = cv2.warpAffine(
        logits,
        inverse,
        (side, side),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=float(logits.min()),
    )
    return moved


def move_prompt(prompt: Prompt, target: Window, size: tuple[int, int]) -> Prompt:
    """Return a prompt in pixels of the window `target`, with logits of that window.

    Negative points outside the window are left out: there is nothing to remove. The prompt's positive points and its
    box must lie in the window.
    """
    corner, points = _corner(target), prompt.points
    kept = (prompt.labels == POSITIVE) | ((points >= corner) & (points < target[2:])).all(1)
    source = prompt.window or whole_image(size)
    logits = prompt.logits
    if logits is not None and source != target:
        logits = move_logits(logits, source, target)
    return replace(
        prompt,
        points=points[kept] - corner,
        labels=prompt.labels[kept],
        box=None if prompt.box is None else prompt.box - np.tile(corner, 2),
        logits=logits,
        window=None,
        drawn=None if prompt.drawn is None else Cropped.of(prompt.drawn.within(target)),
    )


def _corner(window: Window) -> FloatArray:
    return np.array(window[:2], np.float32)


def _scale(logits: FloatArray, window: Window) -> float:
    return max(logits.shape) / side_of(window)
