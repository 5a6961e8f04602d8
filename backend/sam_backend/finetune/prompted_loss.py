"""The loss of simulated annotators: they ask for masks, correct the answers, and the model learns from both."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sam_backend.finetune.click_batch import ClickBatch, served_logits
from sam_backend.finetune.losses import answer_loss, mask_loss, true_iou
from sam_backend.finetune.simulated_prompts import first_click, jittered_box

_CORRECTED = 0.7
"""Weight of the answer after all corrections, beside the first answer's."""


@dataclass(frozen=True)
class Prompting:
    """The prompts of a batch; all of its objects get the same kind.

    Attributes
    ----------
    single_click : bool, whether the first prompt is a single click, else a box.
    corrections : int, the clicks that follow, each in the largest error of the last answer.
    clicked_pieces : bool, whether the predicted IoU of a single click is that of the clicked pieces, as served.
    stride : int, pixels of the encoder's input in the width of one cell of the masks.
    all_masks : float, weight of the first answer's three ambiguity-aware masks, beside the best of them.
    """

    single_click: bool
    corrections: int
    clicked_pieces: bool
    stride: int = 2
    all_masks: float = 0.0


def prompted_loss(
    model: Any, embedding: Tensor, targets: Tensor, rng: np.random.Generator, prompting: Prompting
) -> tuple[Tensor, dict[str, float]]:
    """Return the loss, and the mean IoU of the first answer (`click` or `box`) and of the last (`corrected`).

    Parameters
    ----------
    model : a `segment_anything.modeling.Sam`.
    embedding : Tensor (I, C, h, w), of its image encoder.
    targets : Tensor (I * P, H, W) in [0, 1], coverage of each cell of the decoder's masks, grouped by image.
    rng : Generator, all prompts are drawn from it.
    prompting : Prompting.
    """
    masks = (targets >= 0.5).cpu().numpy()
    boxes, clicks = None, ClickBatch(len(masks), prompting.stride)
    if prompting.single_click:
        clicks.add([(first_click(rng, mask), 1) for mask in masks])
    else:
        boxes = torch.tensor([jittered_box(rng, mask) for mask in masks]) * float(prompting.stride)
    logits, predicted_iou = decode(model, embedding, clicks, boxes)
    served = clicks.pieces(logits) if prompting.single_click and prompting.clicked_pieces else None
    loss = answer_loss(logits, predicted_iou, targets, prompting.single_click, served)
    if prompting.all_masks:
        losses = mask_loss(logits[:, 1:], targets[:, None].expand_as(logits[:, 1:]))
        loss = loss + prompting.all_masks * losses.mean()
    answer = served_logits(logits, predicted_iou, prompting.single_click).detach()
    shown = {("click" if prompting.single_click else "box"): float(true_iou(answer, targets).mean())}
    if prompting.corrections:
        for _ in range(prompting.corrections - 1):
            clicks.add_corrections(rng, masks, answer)
            with torch.no_grad():
                logits, _ = decode(model, embedding, clicks, boxes, answer)
            answer = logits[:, 0]
        clicks.add_corrections(rng, masks, answer)
        logits, predicted_iou = decode(model, embedding, clicks, boxes, answer)
        loss = loss + _CORRECTED * answer_loss(logits, predicted_iou, targets, False)
        shown["corrected"] = float(true_iou(logits[:, 0], targets).mean())
    shown["loss"] = float(loss.detach())
    return loss, shown


def decode(
    model: Any, embedding: Tensor, clicks: ClickBatch, boxes: Tensor | None, answer: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Decode exactly as `SamPredictor` does; all prompts of a batch have the same form.

    Parameters
    ----------
    model : a `segment_anything.modeling.Sam`.
    embedding : Tensor (I, C, h, w).
    clicks : ClickBatch, of I * P prompts, grouped by image.
    boxes : Tensor (I * P, 4) or None, xyxy in pixels of the encoder's input.
    answer : Tensor (I * P, H, W) or None, the logits that the prompt corrects.

    Returns
    -------
    tuple
        Logits (I * P, 4, H, W) and predicted IoU (I * P, 4), float32.
    """
    device = embedding.device
    mask_input = None if answer is None else answer[:, None].float()
    sparse, dense = model.prompt_encoder(
        clicks.tensors(device), None if boxes is None else boxes.to(device), mask_input
    )
    position = model.prompt_encoder.get_dense_pe()
    logits, predicted_iou = model.mask_decoder.predict_masks(embedding, position, sparse, dense)
    return logits.float(), predicted_iou.float()
