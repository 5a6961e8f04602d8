"""Masks without a prompt: a grid of clicks, and of the answers those that are sure, stable and not there twice."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sam_backend.arrays import BoolArray, FloatArray
from sam_backend.segmenters.protocol import POSITIVE, Embedding, Prompt, Segmenter

STABILITY_OFFSET = 1.0
"""Logits by which the threshold is moved up and down to see whether a mask stays the same."""

_MASK_BYTES = 1 << 28
"""Bytes of full-size masks that one decoded batch may take."""


@dataclass(frozen=True, eq=False)
class Proposal:
    """A mask that nobody asked for.

    Attributes
    ----------
    mask : (H, W) bool, in pixels of the original image.
    predicted_iou : the segmenter's estimate of the mask's IoU.
    stability : IoU in 0..1 of the masks at logits above +1 and above -1.
    box : (4,) int64 xyxy, half-open, around the mask.
    """

    mask: BoolArray
    predicted_iou: float
    stability: float
    box: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class _Found:
    """A candidate that passed: its mask only inside its box, for many of them at full size would not fit in memory."""

    predicted_iou: float
    stability: float
    area: int
    box: NDArray[np.int64]
    part: BoolArray


def propose_masks(
    segmenter: Segmenter,
    embedding: Embedding,
    *,
    points_per_side: int = 16,
    pred_iou_threshold: float = 0.7,
    stability_threshold: float = 0.85,
    nms_iou: float = 0.7,
    max_area_fraction: float = 0.9,
    limit: int | None = None,
    batch: int = 64,
) -> list[Proposal]:
    """Segment everything in an image, as Segment Anything's automatic mode does (Kirillov et al., 2023, section D).

    Parameters
    ----------
    segmenter, embedding : a model, and what its `encode` gave for the image.
    points_per_side : clicks along each side of the grid, each in the middle of its cell.
    pred_iou_threshold : candidates below this predicted IoU are dropped.
    stability_threshold : candidates below this stability are dropped.
    nms_iou : of two masks with at least this IoU the one of lower predicted IoU is dropped.
    max_area_fraction : masks over more of the image than this are background and dropped.
    limit : at most this many proposals, the best; None for all.
    batch : prompts decoded at once, at most; fewer on large images.

    Returns
    -------
    list[Proposal]
        Highest predicted IoU first.
    """
    height, width = embedding.size
    steps = (np.arange(points_per_side, dtype=np.float32) + 0.5) / points_per_side
    clicks = np.stack(np.meshgrid(steps * width, steps * height), axis=-1).reshape(-1, 2)
    batch = min(batch, max(_MASK_BYTES // (3 * height * width), 1))
    found: list[_Found] = []
    for start in range(0, len(clicks), batch):
        some = clicks[start : start + batch]
        # One look at the whole image: to encode a window for each click of the grid would take minutes.
        prompts = [Prompt(click, np.array([POSITIVE]), window=(0, 0, width, height)) for click in some]
        for candidates in segmenter.decode(embedding, prompts, multimask=True):
            stability = _stability(candidates.logits, embedding.size)
            good = (candidates.predicted_iou >= pred_iou_threshold) & (stability >= stability_threshold)
            for index in np.flatnonzero(good):
                iou, stable = float(candidates.predicted_iou[index]), float(stability[index])
                found += _inside_box(candidates.masks[index], iou, stable)
    found = [each for each in found if each.area <= max_area_fraction * height * width]
    found.sort(key=lambda each: (-each.predicted_iou, -each.stability))
    return [_whole(each, embedding.size) for each in _suppress(found, nms_iou, limit)]


def _stability(logits: FloatArray, size: tuple[int, int]) -> FloatArray:
    """Return the IoU (K,) of the masks that logits (K, h, w) give at thresholds of +1 and -1.

    The first mask lies in the second, so the IoU is a ratio of areas. Logits may be padded to a square, as SAM's are,
    at the right or the bottom; the image has nothing there.
    """
    scale = max(logits.shape[1:]) / max(size)
    rows, columns = (int(np.ceil(side * scale)) for side in size)
    shown = logits[:, :rows, :columns]
    inner = (shown > STABILITY_OFFSET).sum((1, 2))
    outer = (shown > -STABILITY_OFFSET).sum((1, 2))
    ratio: FloatArray = (inner / np.maximum(outer, 1)).astype(np.float32)
    return ratio


def _inside_box(mask: BoolArray, predicted_iou: float, stability: float) -> list[_Found]:
    """Cut a mask to its box; nothing for an empty mask."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return []
    box = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])
    part = mask[box[1] : box[3], box[0] : box[2]].copy()
    return [_Found(predicted_iou, stability, int(part.sum()), box, part)]


def _suppress(found: list[_Found], nms_iou: float, limit: int | None) -> list[_Found]:
    """Keep, best first, up to `limit` masks that have an IoU below `nms_iou` with every better one that was kept.

    An IoU cannot exceed the ratio of the areas nor that of the boxes' overlap to the larger area: these bounds, for all
    pairs at once, leave few masks to compare pixel by pixel.
    """
    if not found:
        return []
    boxes = np.stack([each.box for each in found])
    areas = np.array([each.area for each in found])
    kept: list[int] = []
    for index in range(len(found)):
        if len(kept) == limit:
            break
        low = np.maximum(boxes[kept, :2], boxes[index, :2])
        high = np.minimum(boxes[kept, 2:], boxes[index, 2:])
        overlap = np.clip(high - low, 0, None).prod(1)
        bound = np.minimum(overlap, np.minimum(areas[kept], areas[index])) / np.maximum(areas[kept], areas[index])
        rivals = np.array(kept, np.int64)[bound >= nms_iou]
        if not any(_iou(found[rival], found[index]) >= nms_iou for rival in rivals):
            kept.append(index)
    return [found[index] for index in kept]


def _iou(a: _Found, b: _Found) -> float:
    low, high = np.maximum(a.box[:2], b.box[:2]), np.minimum(a.box[2:], b.box[2:])
    first, second = (
        each.part[low[1] - each.box[1] : high[1] - each.box[1], low[0] - each.box[0] : high[0] - each.box[0]]
        for each in (a, b)
    )
    shared = int((first & second).sum())
    return shared / (a.area + b.area - shared)


def _whole(found: _Found, size: tuple[int, int]) -> Proposal:
    mask = np.zeros(size, bool)
    left, top, right, bottom = found.box
    mask[top:bottom, left:right] = found.part
    return Proposal(mask, found.predicted_iou, found.stability, found.box)
