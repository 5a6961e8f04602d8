"""Masks without a prompt: a grid of clicks; the answers that are sure, stable and not duplicates remain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco

from sam_backend.arrays import BoolArray, FloatArray
from sam_backend.samples import Cropped
from sam_backend.segmenters.protocol import POSITIVE, Embedding, Prompt, Segmenter

STABILITY_OFFSET = 1.0
"""Logits by which the threshold moves up and down; a stable mask stays the same."""

_MASK_BYTES = 1 << 28
"""Bytes of full-size masks that one decoded batch may take."""


@dataclass(frozen=True, eq=False)
class Proposal:
    """A mask that the automatic mode proposes.

    Attributes
    ----------
    mask : (H, W) bool, in pixels of the original image.
    predicted_iou : float, the segmenter's estimate of the mask's IoU.
    stability : float in 0..1, the IoU of the masks at logits above +1 and above -1.
    box : (4,) int64 xyxy, half-open, around the mask.
    """

    mask: BoolArray
    predicted_iou: float
    stability: float
    box: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class _Candidate:
    """A mask that passed the thresholds, cropped: hundreds at full size would not fit in memory."""

    predicted_iou: float
    stability: float
    cropped: Cropped

    @cached_property
    def area(self) -> int:
        return self.cropped.area

    @property
    def box(self) -> NDArray[np.int64]:
        (top, left), (height, width) = self.cropped.corner, self.cropped.part.shape
        return np.array([left, top, left + width, top + height])

    @cached_property
    def rle(self) -> dict[str, Any]:
        """COCO's RLE of the transposed mask, which needs no copy; transposed masks have the same IoU."""
        rle: dict[str, Any] = coco.encode(self.cropped.mask.view(np.uint8).T)
        return rle

    def proposal(self) -> Proposal:
        return Proposal(self.cropped.mask, self.predicted_iou, self.stability, self.box)


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
    segmenter : Segmenter, the model.
    embedding : Embedding, the model's encoding of the image.
    points_per_side : int, clicks along each side of the grid, each in the middle of its cell.
    pred_iou_threshold : float, the least predicted IoU of a candidate.
    stability_threshold : float, the least stability of a candidate.
    nms_iou : float, two masks with at least this IoU are duplicates; the one of lower predicted IoU is dropped.
    max_area_fraction : float, masks over more of the image than this are background and dropped.
    limit : int or None, the largest number of proposals, best first; None for all.
    batch : int, the largest number of prompts decoded at once; fewer on large images.

    Returns
    -------
    list[Proposal]
        Highest predicted IoU first.
    """
    height, width = embedding.size
    steps = (np.arange(points_per_side, dtype=np.float32) + 0.5) / points_per_side
    clicks = np.stack(np.meshgrid(steps * width, steps * height), axis=-1).reshape(-1, 2)
    batch = min(batch, max(_MASK_BYTES // (3 * height * width), 1))
    passed: list[_Candidate] = []
    for start in range(0, len(clicks), batch):
        # One look at the whole image: encoding a window for each click of the grid would take minutes.
        prompts = [
            Prompt(click, np.array([POSITIVE]), window=(0, 0, width, height)) for click in clicks[start : start + batch]
        ]
        for answer in segmenter.decode(embedding, prompts, multimask=True):
            stability = _stability(answer.logits, embedding.size)
            good = (answer.predicted_iou >= pred_iou_threshold) & (stability >= stability_threshold)
            passed += [
                _Candidate(float(answer.predicted_iou[index]), float(stability[index]), answer.crop(index))
                for index in np.flatnonzero(good)
            ]
    passed = [candidate for candidate in passed if 0 < candidate.area <= max_area_fraction * height * width]
    passed.sort(key=lambda candidate: (-candidate.predicted_iou, -candidate.stability))
    return [candidate.proposal() for candidate in _without_duplicates(passed, nms_iou, limit)]


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


def _without_duplicates(candidates: Sequence[_Candidate], nms_iou: float, limit: int | None) -> list[_Candidate]:
    """Keep, best first, up to `limit` masks that have an IoU below `nms_iou` with every better one that was kept.

    An IoU cannot exceed the ratio of the areas nor that of the boxes' overlap to the larger area: these bounds, for all
    pairs at once, leave few masks to compare exactly.
    """
    if not candidates:
        return []
    boxes = np.stack([candidate.box for candidate in candidates])
    areas = np.array([candidate.area for candidate in candidates])
    kept: list[int] = []
    for index, candidate in enumerate(candidates):
        if len(kept) == limit:
            break
        low = np.maximum(boxes[kept, :2], boxes[index, :2])
        high = np.minimum(boxes[kept, 2:], boxes[index, 2:])
        overlap = np.clip(high - low, 0, None).prod(1)
        bound = np.minimum(overlap, np.minimum(areas[kept], areas[index])) / np.maximum(areas[kept], areas[index])
        rivals = [candidates[kept[place]].rle for place in np.flatnonzero(bound >= nms_iou)]
        if not rivals or coco.iou([candidate.rle], rivals, [False] * len(rivals)).max() < nms_iou:
            kept.append(index)
    return [candidates[index] for index in kept]
