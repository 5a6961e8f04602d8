"""A segmenter that answers a lone click with three masks, of which it likes the wrong one best."""

from dataclasses import replace

import numpy as np

from colour_segmenter import ColourSegmenter
from sam_backend.segmenters.drawn_masks import mask_logits

EVERYTHING, _, SQUARE = range(3)
"""Indices of the masks."""


class ThreeMasks(ColourSegmenter):
    """Like `ColourSegmenter`; a lone click gets everything, the upper half of the square, and the square."""

    def decode(self, embedding, prompts, *, multimask=None):
        return [
            self._three(answer) if prompt.is_ambiguous else answer
            for prompt, answer in zip(prompts, super().decode(embedding, prompts), strict=True)
        ]

    def _three(self, answer):
        square = answer.masks[0]
        rows = np.nonzero(square.any(1))[0]
        half = square.copy()
        half[int(np.median(rows)) :] = False
        masks = np.stack([np.ones_like(square), half, square])
        return replace(
            answer,
            masks=masks,
            predicted_iou=np.array([0.7, 0.6, 0.5], np.float32),
            logits=np.stack([mask_logits(mask) for mask in masks]),
        )
