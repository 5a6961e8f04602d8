"""Many prompts on one image, answered a few at a time, so that their masks fit into memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sam_backend.samples import Cropped
from sam_backend.segmenters.protocol import Embedding, Prompt, Segmenter

_PROMPTS_PER_CALL = 16


def best_masks(
    segmenter: Segmenter, embedding: Embedding, prompts: Sequence[Prompt]
) -> Iterator[tuple[Cropped, float]]:
    """Yield, for each prompt, the mask with the highest predicted IoU, and that IoU in [0, 1]."""
    for start in range(0, len(prompts), _PROMPTS_PER_CALL):
        for one in segmenter.decode(embedding, prompts[start : start + _PROMPTS_PER_CALL]):
            yield one.crop(one.best), float(one.predicted_iou[one.best])
