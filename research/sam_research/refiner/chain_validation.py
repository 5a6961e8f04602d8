"""Measures corrections as they are served, on scenes that no training uses: the IoU after each click."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sam_backend.arrays import BoolArray, FloatArray
from sam_backend.masks import deepest_point, mask_iou
from sam_backend.segmenters import Candidates, Embedding, Prompt, Segmenter
from sam_backend.segmenters.refinement import next_prompt
from sam_evaluation.protocols.simulated_clicks import correction, tight_box

_WORSE = 0.02


@dataclass(frozen=True, eq=False)
class Curve:
    """IoU (N, K + 1) of N objects after the first answer and after each of K corrections."""

    iou: NDArray[np.float64]

    def __str__(self) -> str:
        """Return the means, the shares that never reach 0.8, 0.85, 0.9, and the share of corrections that harm."""
        means = " ".join(f"{value:.3f}" for value in self.iou.mean(0))
        never = " ".join(f"{(self.iou.max(1) < limit).mean():.2f}" for limit in (0.8, 0.85, 0.9))
        steps = np.diff(self.iou, axis=1)
        made = self.iou[:, :-1] < 1
        return f"n {len(self.iou)} IoU {means} never {never} worse {(steps < -_WORSE)[made].mean():.3f}"


def corrected(segmenter: Segmenter, embedding: Embedding, truth: BoolArray, start: str, clicks: int) -> list[float]:
    """Return the IoU of the first answer to a `start` ("click" or "box") and after each of `clicks` corrections."""
    prompt = Prompt(box=tight_box(truth)) if start == "box" else Prompt(np.array([deepest_point(truth)]), np.array([1]))
    earlier: Candidates | None = None
    points: FloatArray = prompt.points
    labels: NDArray[np.int64] = prompt.labels
    reached: list[float] = []
    while True:
        earlier = segmenter.decode(embedding, [next_prompt(segmenter, prompt, earlier)])[0]
        mask = earlier.masks[earlier.best]
        reached.append(mask_iou(mask, truth))
        clicked = [(int(x), int(y)) for x, y in points]
        click = correction(mask, truth, clicked)
        if len(reached) > clicks or click is None:
            return reached + [reached[-1]] * (clicks + 1 - len(reached))
        points = np.concatenate([points, np.array([click[0]], np.float32)])
        labels = np.concatenate([labels, np.array([click[1]])])
        prompt = Prompt(points, labels, prompt.box)


def curve(
    segmenter: Segmenter,
    images: Sequence[tuple[Embedding, Sequence[BoolArray]]],
    start: str,
    clicks: int,
) -> Curve:
    """Return the curve over all objects of some encoded images."""
    rows = [corrected(segmenter, embedding, truth, start, clicks) for embedding, masks in images for truth in masks]
    return Curve(np.array(rows, np.float64).reshape(len(rows), clicks + 1))
