"""One lesson: a simulated annotator asks for masks, corrects them, and the model learns from what it answered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sam_backend.finetune.clicks import Clicks, chosen
from sam_backend.finetune.losses import answer_loss, mask_loss, true_iou
from sam_backend.finetune.simulated_prompts import first_click, jittered_box

_CORRECTED = 0.7
"""Weight of the answer after all corrections, beside the first answer's."""


@dataclass(frozen=True)
class Lesson:
    """How masks are asked for, all of a batch alike.

    Attributes
    ----------
    lone : whether by a lone click, else by a box.
    corrections : clicks that follow, each where the answer before is most wrong.
    pieces : whether the predicted IoU of a lone click is that of the pieces clicked on, which is what serving returns.
    stride : pixels of the encoder's input that a cell of the masks is wide.
    all_masks : weight of the first answer's three ambiguity-aware masks, beside the best of them.
    """

    lone: bool
    corrections: int
    pieces: bool
    stride: int = 2
    all_masks: float = 0.0


def teach(
    model: Any, embedding: Tensor, targets: Tensor, rng: np.random.Generator, lesson: Lesson
) -> tuple[Tensor, dict[str, float]]:
    """Return the loss of a lesson, and mean IoU of the first answer (`click` or `box`) and the last (`corrected`).

    Parameters
    ----------
    model : a `segment_anything.modeling.Sam`.
    embedding : (I, C, h, w) of its image encoder.
    targets : (I * P, H, W) coverage in [0, 1], grouped by image, in the grid of the decoder's masks.
    rng : all prompts are drawn from it.
    lesson : how masks are asked for.
    """
    masks = (targets >= 0.5).cpu().numpy()
    boxes, clicks = None, Clicks(len(masks), lesson.stride)
    if lesson.lone:
        clicks.add([(first_click(rng, mask), 1) for mask in masks])
    else:
        boxes = torch.tensor([jittered_box(rng, mask) for mask in masks]) * float(lesson.stride)
    logits, predicted = ask(model, embedding, clicks, boxes)
    judged = clicks.pieces(logits) if lesson.lone and lesson.pieces else None
    loss = answer_loss(logits, predicted, targets, lesson.lone, judged)
    if lesson.all_masks:
        each = mask_loss(logits[:, 1:], targets[:, None].expand_as(logits[:, 1:]))
        loss = loss + lesson.all_masks * each.mean()
    given = chosen(logits, predicted, lesson.lone).detach()
    shown = {("click" if lesson.lone else "box"): float(true_iou(given, targets).mean())}
    if lesson.corrections:
        for _ in range(lesson.corrections - 1):
            clicks.add_corrections(rng, masks, given)
            with torch.no_grad():
                logits, _ = ask(model, embedding, clicks, boxes, given)
            given = logits[:, 0]
        clicks.add_corrections(rng, masks, given)
        logits, predicted = ask(model, embedding, clicks, boxes, given)
        loss = loss + _CORRECTED * answer_loss(logits, predicted, targets, False)
        shown["corrected"] = float(true_iou(logits[:, 0], targets).mean())
    shown["loss"] = float(loss.detach())
    return loss, shown


def ask(
    model: Any, embedding: Tensor, clicks: Clicks, boxes: Tensor | None, given: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Decode exactly as `SamPredictor` does, all prompts of a batch having the same form.

    Parameters
    ----------
    model : a `segment_anything.modeling.Sam`.
    embedding : (I, C, h, w).
    clicks : of I * P prompts, grouped by image.
    boxes : (I * P, 4) xyxy in pixels of the encoder's input, or None.
    given : logits (I * P, H, W) that are corrected, or None.

    Returns
    -------
    tuple
        Logits (I * P, 4, H, W) and predicted IoU (I * P, 4), float32.
    """
    device = embedding.device
    shown = None if given is None else given[:, None].float()
    sparse, dense = model.prompt_encoder(clicks.tensors(device), None if boxes is None else boxes.to(device), shown)
    position = model.prompt_encoder.get_dense_pe()
    logits, predicted = model.mask_decoder.predict_masks(embedding, position, sparse, dense)
    return logits.float(), predicted.float()
