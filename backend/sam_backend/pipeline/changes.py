"""Steps that change what was proposed: boxes become masks; masks become better, fewer, or get other labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, TypeVar

import numpy as np
from pydantic import Field

from sam_backend.pipeline.scene import ProposedBox, ProposedMask, Scene
from sam_backend.pipeline.step import Share
from sam_backend.samples import Cropped
from sam_backend.segmenters import Prompt
from sam_backend.segmenters.batched import best_masks
from sam_backend.segmenters.model_registry import load_segmenter, require_prompts

AnyProposed = TypeVar("AnyProposed", ProposedBox, ProposedMask)

_REFINED = 0.5
"""IoU that a refined mask must share with the one before; below, the refiner took it for something else."""


class Segment:
    """Make each box a mask, by the model that serves or by another one: model = "sam:vit_b".

    Parameters
    ----------
    model : str, a model's name; "" for the one that serves.
    keep_score : bool, whether the box's score stays; if not, it is multiplied by the predicted IoU of the mask.
    """

    def __init__(self, *, model: str = "", keep_score: bool = False) -> None:
        self._model = load_segmenter(model, threads=1) if model else None
        self._keep_score = keep_score
        if self._model:
            require_prompts(self._model.info, {"box"})
        self.needs = frozenset(() if self._model else {"box"})

    def __call__(self, scene: Scene, proposed: Sequence[ProposedBox]) -> list[ProposedMask]:
        """Return a mask for each box; a box outside the image gives none."""
        height, width = scene.size
        inside = [one for one in proposed if _overlaps(one.box, width, height)]
        if not inside:
            return []
        embedding = self._model.encode(scene.image.copy()) if self._model else scene.embedding
        prompts = [Prompt(box=np.array(one.box, np.float32)) for one in inside]
        answers = best_masks(self._model or scene.segmenter, embedding, prompts)
        return [
            ProposedMask(mask, one.label, one.score if self._keep_score else one.score * min(max(iou, 0.0), 1.0))
            for one, (mask, iou) in zip(inside, answers, strict=True)
        ]


def _overlaps(box: tuple[float, float, float, float], width: int, height: int) -> bool:
    left, top, right, bottom = box
    return left < right and top < bottom and left < width and top < height and right > 0 and bottom > 0


def fill(scene: Scene, proposed: Sequence[ProposedBox]) -> list[ProposedMask]:
    """Make each box a mask of all its pixels, for projects that want the boxes themselves."""
    height, width = scene.size
    masks = []
    for one in proposed:
        left, top, right, bottom = (round(side) for side in one.box)
        left, top, right, bottom = max(left, 0), max(top, 0), min(right, width), min(bottom, height)
        if left < right and top < bottom:
            part = np.ones((bottom - top, right - left), bool)
            masks.append(ProposedMask(Cropped(part, (top, left), scene.size), one.label, one.score))
    return masks


def refine(scene: Scene, proposed: Sequence[ProposedMask]) -> list[ProposedMask]:
    """Make the border of each mask better by the refiner; labels and scores stay."""
    refined = []
    for one in proposed:
        ((better, _),) = best_masks(scene.segmenter, scene.embedding, [Prompt(mask=one.mask.mask)])
        kept = better if better.iou(one.mask) >= _REFINED else one.mask
        refined.append(replace(one, mask=kept))
    return refined


def select(
    scene: Scene,
    proposed: Sequence[AnyProposed],
    *,
    min_score: Share = 0.0,
    min_area: Annotated[float, Field(ge=0)] = 0.0,
    max_area: Annotated[float, Field(ge=0)] = float("inf"),
    max_area_share: Share = 1.0,
    labels: tuple[str, ...] = (),
    without: tuple[str, ...] = (),
    limit: Annotated[int, Field(ge=1)] | None = None,
) -> list[AnyProposed]:
    """Keep what is sure enough, of a size (pixels, or a share of the image), and of some labels; the best first."""
    most = min(max_area, max_area_share * scene.size[0] * scene.size[1])
    kept = [
        one
        for one in sorted(proposed, key=lambda one: -one.score)
        if one.score >= min_score
        and min_area <= _area(one) <= most
        and (not labels or one.label in labels)
        and one.label not in without
    ]
    return kept[:limit]


def _area(one: ProposedBox | ProposedMask) -> float:
    if isinstance(one, ProposedMask):
        return one.mask.area
    left, top, right, bottom = one.box
    return max(right - left, 0.0) * max(bottom - top, 0.0)


def relabel(
    scene: Scene, proposed: Sequence[AnyProposed], *, names: dict[str, str], others: str = ""
) -> list[AnyProposed]:
    """Give other labels: names = { crazing = "Crack" }; what has none of these keeps its own, or gets `others`."""
    return [replace(one, label=names.get(one.label or "", others or one.label)) for one in proposed]


def merge(
    scene: Scene, proposed: Sequence[ProposedMask], *, iou: Share = 0.5, across_labels: bool = True
) -> list[ProposedMask]:
    """Keep, of masks that share much (their IoU is at least `iou`), the one with the highest score."""
    kept: list[ProposedMask] = []
    for one in sorted(proposed, key=lambda one: -one.score):
        rivals = (other for other in kept if across_labels or other.label == one.label)
        if all(one.mask.iou(other.mask) < iou for other in rivals):
            kept.append(one)
    return kept
