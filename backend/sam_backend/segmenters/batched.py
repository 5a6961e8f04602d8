"""Many prompts on one image, answered a few at a time, so that their masks fit into memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sam_backend.samples import Cropped
from sam_backend.segmenters.protocol import Embedding, Prompt, Segmenter

_PROMPTS_PER_CALL = 16
"""Prompts that are decoded in one call; between two calls, an annotator's click can be answered."""


def in_calls(prompts: Sequence[Prompt]) -> Iterator[Sequence[Prompt]]:
    """Yield the prompts, a few at a time."""
    return (prompts[start : start + _PROMPTS_PER_CALL] for start in range(0, len(prompts), _PROMPTS_PER_CALL))


def best_masks(
    segmenter: Segmenter, embedding: Embedding, prompts: Sequence[Prompt]
) -> Iterator[tuple[Cropped, float]]:
    """Yield, for each prompt, the mask with the highest predicted IoU, and that IoU in [0, 1]."""
    for some in in_calls(prompts):
        for one in segmenter.decode(embedding, some):
            yield one.crop(one.best), float(one.predicted_iou[one.best])
