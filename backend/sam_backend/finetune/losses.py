"""Losses on mask logits: focal and dice on soft targets, and the error of the predicted IoU."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def dice_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Return 1 - soft Dice (..., ) of logits (..., H, W) against coverage (..., H, W) in [0, 1] (Milletari 2016)."""
    probability = torch.sigmoid(logits)
    overlap = (probability * target).sum((-2, -1))
    total = probability.sum((-2, -1)) + target.sum((-2, -1))
    return 1 - (2 * overlap + 1) / (total + 1)


def focal_loss(logits: Tensor, target: Tensor, gamma: float = 2.0) -> Tensor:
    """Return the focal loss (..., ) (Lin 2017), summed over pixels and divided by the area of the target.

    Divided by the image's area instead, a pit of forty pixels would weigh nothing.
    """
    entropy = functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
    miss = (torch.sigmoid(logits) - target).abs()
    area = target.sum((-2, -1)) + 0.002 * target.shape[-1] * target.shape[-2]
    return ((miss**gamma) * entropy).sum((-2, -1)) / area


def mask_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Return dice + 1.5 focal (..., )."""
    return dice_loss(logits, target) + 1.5 * focal_loss(logits, target).clamp(max=20)


@torch.no_grad()
def true_iou(logits: Tensor, target: Tensor) -> Tensor:
    """Return the IoU (..., ) of logits above 0 with coverage of at least 0.5."""
    mask, truth = logits > 0, target >= 0.5
    union = (mask | truth).sum((-2, -1))
    return (mask & truth).sum((-2, -1)) / union.clamp(min=1)


def answer_loss(
    logits: Tensor, predicted_iou: Tensor, target: Tensor, ambiguous: bool, judged: Tensor | None = None
) -> Tensor:
    """Return the loss of SAM's four masks (B, 4, H, W) and predicted IoU (B, 4) for targets (B, H, W).

    The best of the three ambiguity-aware masks learns from a lone click, the single mask from anything clearer; the
    others follow with a smaller weight, so that both outputs can be asked for with any prompt. `judged`, bool
    (B, 4, H, W), are the masks whose IoU is predicted, if they are not simply the logits above 0.
    """
    each = mask_loss(logits, target[:, None].expand_as(logits))
    single, best = each[:, 0], each[:, 1:].min(1).values
    weights = (0.4, 1.0) if ambiguous else (1.0, 0.3)
    shown = logits if judged is None else judged
    iou = true_iou(shown, target[:, None].expand_as(logits))
    calibration = functional.mse_loss(predicted_iou, iou, reduction="none").mean(1)
    return (weights[0] * single + weights[1] * best + 2.0 * calibration).mean()
