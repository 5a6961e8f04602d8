"""Masks without a prompt: a grid of clicks; the answers that are sure, stable and not duplicates remain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco

from sam_backend.arrays import BoolArray, FloatArray
from sam_backend.errors import BadRequestError
from sam_backend.samples import Cropped
from sam_backend.segmenters.contrast import contrast_with_surroundings
from sam_backend.segmenters.pixels import reader_of
from sam_backend.segmenters.protocol import POSITIVE, Embedding, Prompt, Segmenter

MOST_POINTS = 256
"""Most clicks along a side of the grid."""

_MASK_BYTES = 1 << 28
"""Bytes of full-size masks that one decoded batch may take."""

_SHARES = (
    *("pred_iou_thresh", "stability_score_thresh", "box_nms_thresh", "mask_nms_thresh"),
    *("max_area_fraction", "min_contrast"),
)


def _require_range(name: str, value: float, low: float, high: float | None) -> None:
    if not (low <= value < float("inf") and (high is None or value <= high)):
        wanted = f"{low} or more" if high is None else f"from {low} to {high}"
        raise BadRequestError(f"{name} is {wanted}; got {value:g}.")


@dataclass(frozen=True)
class AutomaticSettings:
    """The settings of the automatic mode, by the names of Segment Anything's where it has them.

    SAM's own values are 32 points a side, 0.88, 0.95 and a `box_nms_thresh` of 0.7, for its own scores.

    Attributes
    ----------
    points_per_side : int, clicks along each side of the grid, each in the middle of its cell.
    points_per_batch : int, the largest number of clicks decoded at once; fewer on large images.
    pred_iou_thresh : float in [0, 1], the least predicted IoU of a mask; 0 keeps every mask.
    stability_score_thresh : float in [0, 1], the least stability of a mask.
    stability_score_offset : float, logits by which the threshold moves up and down; a stable mask stays the same.
    box_nms_thresh : float in [0, 1]; of two masks whose boxes have a larger IoU, the one of lower predicted IoU goes.
    mask_nms_thresh : float in [0, 1]; the same for the IoU of the masks themselves. SAM does not have it: a thin ring
        and the disc in it have one box.
    min_mask_region_area : int, pixels; smaller holes of a mask are filled, and smaller pieces beside others removed.
    max_area_fraction : float in [0, 1]; masks over more of the image than this are background and go.
    min_contrast : float in [0, 1], the least contrast of a mask, see `contrast_with_surroundings`; 0 keeps every mask.
        Above 0, the embedding must hold its image, as those of all loaded models do.

    Raises
    ------
    BadRequestError
        If a value is out of its range.
    """

    points_per_side: int = 16
    points_per_batch: int = 64
    pred_iou_thresh: float = 0.5
    stability_score_thresh: float = 0.4
    stability_score_offset: float = 1.0
    box_nms_thresh: float = 1.0
    mask_nms_thresh: float = 0.7
    min_mask_region_area: int = 0
    max_area_fraction: float = 0.9
    min_contrast: float = 0.0

    def __post_init__(self) -> None:
        for name in _SHARES:
            _require_range(name, getattr(self, name), 0, 1)
        _require_range("points_per_side", self.points_per_side, 1, MOST_POINTS)
        _require_range("points_per_batch", self.points_per_batch, 1, None)
        _require_range("stability_score_offset", self.stability_score_offset, 0, None)
        _require_range("min_mask_region_area", self.min_mask_region_area, 0, None)


DEFAULT_AUTOMATIC = AutomaticSettings()

DEFECTS = AutomaticSettings(stability_score_thresh=0.5, max_area_fraction=0.2, min_contrast=0.5)
"""Keeps what is like a defect: small, stable, and different from its surroundings."""


@dataclass(frozen=True, eq=False)
class Proposal:
    """A mask that the automatic mode proposes.

    Attributes
    ----------
    cropped : Cropped, the mask in pixels of the original image: hundreds at full size would not fit in memory.
    predicted_iou : float, the segmenter's estimate of the mask's IoU.
    stability : float in 0..1, the IoU of the masks at logits above and below the threshold by an offset.
    """

    cropped: Cropped
    predicted_iou: float
    stability: float

    @property
    def mask(self) -> BoolArray:
        """The whole mask, bool (H, W), a new array at each call."""
        return self.cropped.mask

    @cached_property
    def area(self) -> int:
        """The number of its pixels."""
        return self.cropped.area

    @property
    def box(self) -> NDArray[np.int64]:
        """The box (4,) xyxy, half-open, around the mask."""
        return np.array(self.cropped.box)

    @cached_property
    def _rle(self) -> dict[str, Any]:
        """COCO's RLE of the transposed mask, which needs no copy; transposed masks have the same IoU."""
        rle: dict[str, Any] = coco.encode(self.cropped.mask.view(np.uint8).T)
        return rle


def propose_masks(
    segmenter: Segmenter,
    embedding: Embedding,
    settings: AutomaticSettings = DEFAULT_AUTOMATIC,
    *,
    limit: int | None = None,
) -> list[Proposal]:
    """Segment everything in an image, as Segment Anything's automatic mode does (Kirillov et al., 2023, section D).

    Parameters
    ----------
    segmenter : Segmenter, the model.
    embedding : Embedding, the model's encoding of the image.
    settings : AutomaticSettings.
    limit : int or None, the largest number of proposals, best first; None for all.

    Returns
    -------
    list[Proposal]
        Highest predicted IoU first.
    """
    height, width = embedding.size
    steps = (np.arange(settings.points_per_side, dtype=np.float32) + 0.5) / settings.points_per_side
    clicks = np.stack(np.meshgrid(steps * width, steps * height), axis=-1).reshape(-1, 2)
    batch = min(settings.points_per_batch, max(_MASK_BYTES // (3 * height * width), 1))
    least = settings.pred_iou_thresh or -np.inf
    passed: list[Proposal] = []
    for start in range(0, len(clicks), batch):
        # One look at the whole image: encoding a window for each click of the grid would take minutes.
        prompts = [
            Prompt(click, np.array([POSITIVE]), window=(0, 0, width, height)) for click in clicks[start : start + batch]
        ]
        for answer in segmenter.decode(embedding, prompts, multimask=True):
            stability = _stability(answer.logits, embedding.size, settings.stability_score_offset)
            good = (answer.predicted_iou >= least) & (stability >= settings.stability_score_thresh)
            passed += [
                Proposal(answer.crop(index), float(answer.predicted_iou[index]), float(stability[index]))
                for index in np.flatnonzero(good)
            ]
    passed = [one for one in passed if 0 < one.area <= settings.max_area_fraction * height * width]
    passed.sort(key=_best_first)
    if settings.min_mask_region_area:
        passed = _without_small_regions(_without_duplicates(passed, settings, None), settings)
    if settings.min_contrast:
        kept, reader = _without_duplicates(passed, settings, None), reader_of(embedding)
        passed = [one for one in kept if contrast_with_surroundings(reader, one.cropped) >= settings.min_contrast]
    return _without_duplicates(passed, settings, limit)


def _best_first(one: Proposal) -> tuple[float, float]:
    return -one.predicted_iou, -one.stability


def _stability(logits: FloatArray, size: tuple[int, int], offset: float) -> FloatArray:
    """Return the IoU (K,) of the masks that logits (K, h, w) give at thresholds of plus and minus `offset`.

    The first mask lies in the second, so the IoU is a ratio of areas. Logits may be padded to a square, as SAM's are,
    at the right or the bottom; the image has nothing there.
    """
    scale = max(logits.shape[1:]) / max(size)
    rows, columns = (int(np.ceil(side * scale)) for side in size)
    shown = logits[:, :rows, :columns]
    inner = (shown > offset).sum((1, 2))
    outer = (shown > -offset).sum((1, 2))
    ratio: FloatArray = (inner / np.maximum(outer, 1)).astype(np.float32)
    return ratio


def _without_duplicates(
    candidates: Sequence[Proposal], settings: AutomaticSettings, limit: int | None
) -> list[Proposal]:
    """Keep, in their order, up to `limit` masks that are no duplicates of one that was kept before.

    The IoU of masks cannot exceed the ratio of the areas nor that of the boxes' overlap to the larger area: these
    bounds, for all pairs at once, leave few masks to compare exactly.
    """
    if not candidates:
        return []
    boxes = np.stack([candidate.box for candidate in candidates])
    extents = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    areas = np.array([candidate.area for candidate in candidates])
    kept: list[int] = []
    for index, candidate in enumerate(candidates):
        if len(kept) == limit:
            break
        low = np.maximum(boxes[kept, :2], boxes[index, :2])
        high = np.minimum(boxes[kept, 2:], boxes[index, 2:])
        overlap = np.clip(high - low, 0, None).prod(1)
        if (overlap > settings.box_nms_thresh * (extents[kept] + extents[index] - overlap)).any():
            continue
        bound = np.minimum(overlap, np.minimum(areas[kept], areas[index])) / np.maximum(areas[kept], areas[index])
        rivals = [candidates[kept[place]]._rle for place in np.flatnonzero(bound > settings.mask_nms_thresh)]
        ious = coco.iou([candidate._rle], rivals, [False] * len(rivals)) if rivals else np.zeros(1)
        if ious.max() <= settings.mask_nms_thresh:
            kept.append(index)
    return [candidates[index] for index in kept]


def _without_small_regions(candidates: Sequence[Proposal], settings: AutomaticSettings) -> list[Proposal]:
    """Clean masks; as in SAM, of two that are duplicates only now, one that did not change remains."""
    clean = [(one, _cleaned(one, settings.min_mask_region_area)) for one in candidates]
    in_order = sorted(clean, key=lambda pair: pair[0] is not pair[1])
    return sorted(_without_duplicates([after for _, after in in_order], settings, None), key=_best_first)


def _cleaned(one: Proposal, least_area: int) -> Proposal:
    """Return a mask without its small holes and pieces, as `remove_small_regions` of SAM; itself without any.

    The largest piece stays even if it is small.
    """
    (left, top, right, bottom), (height, width) = one.cropped.box, one.cropped.size
    # A pixel of the surroundings joins all that is outside of the mask; at the image's edge there is none.
    margins = ((int(top > 0), int(bottom < height)), (int(left > 0), int(right < width)))
    part = np.pad(one.cropped.part, margins)
    holes, is_small = _regions(~part, least_area)
    for edge, is_outside in zip((holes[0], holes[-1], holes[:, 0], holes[:, -1]), np.ravel(margins), strict=True):
        is_small[edge[:1]] &= not is_outside
    filled = part | (is_small[holes] & ~part)
    pieces, is_small = _regions(filled, least_area)
    is_small[np.bincount(pieces[filled]).argmax()] = False
    clean = filled & ~is_small[pieces]
    if np.array_equal(clean, part):
        return one
    corner = top - margins[0][0], left - margins[1][0]
    return replace(one, cropped=Cropped.of_part(clean, corner, one.cropped.size))


def _regions(mask: BoolArray, least_area: int) -> tuple[NDArray[np.int32], BoolArray]:
    """Return the number (h, w) of the connected region of each pixel, and which regions have less than an area."""
    _, regions, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    return regions, stats[:, cv2.CC_STAT_AREA] < least_area
