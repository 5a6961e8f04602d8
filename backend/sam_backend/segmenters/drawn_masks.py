"""A mask that a person drew -> low-resolution logits in the model's own frame; the rule is decision 038."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np

from sam_backend.arrays import BoolArray, FloatArray
from sam_backend.errors import BadRequestError
from sam_backend.samples import Cropped
from sam_backend.segmenters.protocol import Embedding, Prompt

LOGIT = 8.0
"""The logits inside a mask; outside they are the negative of it."""

_BLUR = 1.0
"""Sigma in cells of the border between inside and outside."""


def with_logits(
    prompts: Sequence[Prompt], name: str, embedding: Embedding, logits_size: tuple[int, int]
) -> list[Prompt]:
    """Return the prompts as a model takes them: what was drawn has become logits, and all logits have its size.

    Parameters
    ----------
    prompts : sequence of Prompt.
    name : str, the model's name.
    embedding : Embedding with `input_size`, the height and width in pixels of the image as the encoder saw it.
    logits_size : (h, w) of the model's logits.

    Raises
    ------
    BadRequestError
        If the logits of a prompt have another shape, or what was drawn has another size than the image.
    """
    ready = []
    for prompt in prompts:
        if prompt.drawn is not None:
            if tuple(prompt.drawn.size) != embedding.size:
                raise BadRequestError(f"The drawn mask has the size {prompt.drawn.size}, the image {embedding.size}.")
            seen = np.asarray(embedding.arrays["input_size"], np.float64)
            logits = mask_logits(prompt.drawn, logits_size, tuple(seen / seen.max() * logits_size))
            prompt = replace(prompt, drawn=None, logits=logits)
        elif prompt.logits is not None and prompt.logits.shape != logits_size:
            raise BadRequestError(f"{name} takes logits of shape {logits_size}; got {prompt.logits.shape}.")
        ready.append(prompt)
    return ready


def mask_logits(
    mask: BoolArray | Cropped, size: tuple[int, int] = (256, 256), shown: tuple[float, float] | None = None
) -> FloatArray:
    """Return logits like those of a model that answers with a mask: 8 inside, -8 outside, soft along the border.

    A cell's value is the share of it that the mask covers.

    Parameters
    ----------
    mask : bool (H, W) or Cropped.
    size : (h, w) of the logits.
    shown : (rows, columns) of the logits that show the image, the others are padding and outside; None where the
        image's longer side fills the logits, as in SAM's frame.
    """
    cropped = Cropped.of(mask)
    height, width = cropped.size
    low = np.zeros(size, np.float32)
    if cropped.part.size:
        rows, columns = shown or (height / max(height, width) * size[0], width / max(height, width) * size[1])
        # Pixels of the image for a cell.
        down, across = height / rows, width / columns
        left, top, right, bottom = cropped.box
        first, stop = (int(top / down), int(left / across)), (int(bottom / down) + 1, int(right / across) + 1)
        y, x = round(first[0] * down), round(first[1] * across)
        count = stop[0] - first[0], stop[1] - first[1]
        part = cropped.within((x, y, x + max(1, round(count[1] * across)), y + max(1, round(count[0] * down))))
        covered = cv2.resize(part.view(np.uint8) * 255, count[::-1], interpolation=cv2.INTER_AREA) / np.float32(255)
        low[first[0] : stop[0], first[1] : stop[1]] = covered[: size[0] - first[0], : size[1] - first[1]]
    smooth: FloatArray = cv2.GaussianBlur(low, (0, 0), _BLUR)
    return 2 * LOGIT * smooth - LOGIT
