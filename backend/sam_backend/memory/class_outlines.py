"""Outlines in an image: places that resemble a class of the memory, outlined together with the segmenter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from pycocotools import mask as coco

from sam_backend.arrays import BoolArray, FloatArray
from sam_backend.masks import mask_iou
from sam_backend.memory.class_model import ClassModel
from sam_backend.memory.grid import GRID, on_image
from sam_backend.segmenters import Embedding, Prompt, Segmenter

_BLUR = 2.5
_MIN_CELLS = 24
_REACH = 9
"""Cells beyond a component that its outline may reach."""

_SEGMENTER_WEIGHT = 0.5
"""Weight of the segmenter's logits when they are added to the log-odds of the class."""

_MAX_COMPONENTS = 40
_MAX_OVERLAP = 0.5
"""Overlap from which two outlines belong to the same object; see `without_duplicates`."""


@dataclass(frozen=True, eq=False)
class ClassOutline:
    """An outlined place that resembles a class.

    Attributes
    ----------
    label : str, the class.
    logits : float32 (GRID, GRID), above 0 inside.
    score_features : float32 (5,), described in `SCORE_FEATURES`.
    """

    label: str
    logits: FloatArray
    score_features: FloatArray

    @property
    def mask(self) -> BoolArray:
        """The outline on the grid, bool (GRID, GRID)."""
        inside: BoolArray = self.logits > 0
        return inside

    def image_mask(self, size: tuple[int, int]) -> BoolArray:
        """Return the mask, bool (H, W), in an image of `size` (H, W)."""
        return on_image(self.logits, size) > 0


SCORE_FEATURES = (
    "log-odds of the segmenter's predicted IoU",
    "mean log-odds of the class inside",
    "mean log-odds inside minus those around",
    "IoU of the segmenter's own mask with the outline",
    "logarithm of the number of the outline's cells",
)
"""What `ClassOutline.score_features` holds, in order."""


def class_map(segmenter: Segmenter, embedding: Embedding, model: ClassModel) -> tuple[FloatArray, tuple[int, int]]:
    """Return the probabilities (GRID, GRID, 1 + K) of background and classes, and the rows and columns of the image."""
    shares = model.probabilities(segmenter.features(embedding))
    fine = cv2.resize(shares, (GRID, GRID), interpolation=cv2.INTER_LINEAR)
    smooth = cv2.GaussianBlur(fine, (0, 0), _BLUR)
    rows, columns = (min(GRID, round(side * GRID / max(embedding.size))) for side in embedding.size)
    return smooth, (max(rows, 1), max(columns, 1))


def find_outlines(segmenter: Segmenter, embedding: Embedding, model: ClassModel) -> list[ClassOutline]:
    """Outline the places where a class of the memory is likelier than the other classes and the background.

    The box of a connected component is the prompt of the segmenter. The outline is where the sum of the segmenter's
    logits and the log-odds of the class is positive: the segmenter knows the edges, the memory knows the class. The
    segmenter sees the whole image, without a second look.

    Parameters
    ----------
    segmenter : Segmenter that made the embedding.
    embedding : Embedding of the image.
    model : ClassModel of the memory.
    """
    # Imported late, because it is slow and a service must listen before it.
    from scipy.special import logit

    shares, shown = class_map(segmenter, embedding, model)
    log_odds: FloatArray = np.asarray(logit(np.clip(shares, 1e-3, 1 - 1e-3)), np.float32)
    likeliest = shares.argmax(2)
    likeliest[shown[0] :] = 0
    likeliest[:, shown[1] :] = 0
    components = [
        component
        for index in range(1, shares.shape[2])
        for component in _components(likeliest == index, index, log_odds[..., index])
    ]
    components = sorted(components, key=lambda component: -component.strength)[:_MAX_COMPONENTS]
    if not components:
        return []
    height, width = embedding.size
    scale = max(height, width) / GRID
    prompts = [
        Prompt(box=np.minimum(component.box * scale, (width, height, width, height)), window=(0, 0, width, height))
        for component in components
    ]
    outlines = []
    for component, answer in zip(components, segmenter.decode(embedding, prompts, multimask=False), strict=True):
        logits = answer.logits[answer.best]
        if logits.shape != (GRID, GRID):
            logits = cv2.resize(logits, (GRID, GRID), interpolation=cv2.INTER_LINEAR)
        predicted_iou = float(answer.predicted_iou[answer.best])
        outline = _outline(component, logits, predicted_iou, log_odds[..., component.index], shown)
        if outline is not None:
            outlines.append(ClassOutline(model.labels[component.index - 1], *outline))
    return outlines


def without_duplicates(outlines: Sequence[ClassOutline], scores: Sequence[float]) -> list[int]:
    """Return the indices of the outlines to keep, the highest score first; one outline is kept of each object.

    Two outlines of one label belong to the same object if they share half of the smaller one; two outlines of
    different labels if their IoU is a half.
    """
    if not outlines:
        return []
    masks = coco.encode(np.asfortranarray(np.stack([outline.mask for outline in outlines], 2).astype(np.uint8)))
    ious = coco.iou(masks, masks, [0] * len(masks))
    # With the second as a crowd, pycocotools divides by the area of the first.
    shares = coco.iou(masks, masks, [1] * len(masks))
    labels = np.array([outline.label for outline in outlines])
    overlaps = np.where(labels[:, None] == labels, np.maximum(shares, shares.T), ious)
    kept: list[int] = []
    for index in sorted(range(len(outlines)), key=lambda index: -scores[index]):
        if not (overlaps[index, kept] >= _MAX_OVERLAP).any():
            kept.append(index)
    return kept


@dataclass(frozen=True, eq=False)
class _Component:
    """A connected component of a class.

    Attributes
    ----------
    index : index of the class, from 1.
    cells : bool (GRID, GRID).
    box : float32 (4,), xyxy in cells.
    strength : sum of the positive log-odds of its cells.
    """

    index: int
    cells: BoolArray
    box: FloatArray
    strength: float


def _components(likeliest: BoolArray, index: int, log_odds: FloatArray) -> list[_Component]:
    count, numbers, stats, _ = cv2.connectedComponentsWithStats(likeliest.astype(np.uint8), connectivity=8)
    components = []
    for number in range(1, count):
        left, top, width, height, area = stats[number].tolist()
        if area >= _MIN_CELLS:
            cells = numbers == number
            box = np.array([left, top, left + width, top + height], np.float32)
            components.append(_Component(index, cells, box, float(np.maximum(log_odds[cells], 0).sum())))
    return components


def _outline(
    component: _Component, logits: FloatArray, predicted_iou: float, log_odds: FloatArray, shown: tuple[int, int]
) -> tuple[FloatArray, FloatArray] | None:
    """Return logits and score features of an outline, or None if it is too small."""
    # Imported late, because it is slow and a service must listen before it.
    from scipy.special import logit

    reach = _grown(component.cells, shown)
    together = np.where(reach, _SEGMENTER_WEIGHT * logits + log_odds, -10.0).astype(np.float32)
    inside = together > 0
    area = int(inside.sum())
    if area < _MIN_CELLS:
        return None
    around = _grown(inside, shown) & ~inside
    within = float(log_odds[inside].mean())
    beyond = float(log_odds[around].mean()) if around.any() else within
    agreement = mask_iou((logits > 0) & reach, inside)
    certainty = float(logit(np.clip(predicted_iou, 0.01, 0.99)))
    return together, np.array([certainty, within, within - beyond, agreement, np.log(area)], np.float32)


def _grown(cells: BoolArray, shown: tuple[int, int]) -> BoolArray:
    """Return cells and what lies within `_REACH` of them in the image."""
    grown: BoolArray = cv2.dilate(cells.astype(np.uint8), np.ones((2 * _REACH + 1,) * 2, np.uint8)) > 0
    grown[shown[0] :] = False
    grown[:, shown[1] :] = False
    return grown
