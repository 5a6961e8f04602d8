"""Losses on mask logits: focal and dice on soft targets, and the error of the predicted IoU."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def dice_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Return 1 - soft Dice (...,) of logits (..., H, W) and coverage (..., H, W) in [0, 1] (Milletari et al. 2016)."""
    probability = torch.sigmoid(logits)
    overlap = (probability * target).sum((-2, -1))
    total = probability.sum((-2, -1)) + target.sum((-2, -1))
    return 1 - (2 * overlap + 1) / (total + 1)


def focal_loss(logits: Tensor, target: Tensor, gamma: float = 2.0) -> Tensor:
    """Return the focal loss (...,) (Lin et al. 2017), summed over pixels and divided by the area of the target.

    Divided by the area of the image instead, a pit of forty pixels would have no weight.
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
    logits: Tensor, predicted_iou: Tensor, target: Tensor, ambiguous: bool, served: Tensor | None = None
) -> Tensor:
    """Return the loss of SAM's four masks (B, 4, H, W) and predicted IoU (B, 4) for targets (B, H, W).

    The best of the three ambiguity-aware masks learns from a single click, the single mask from a clearer prompt. The
    other output learns with a smaller weight, so that both outputs work with any prompt.

    Parameters
    ----------
    logits, predicted_iou, target : Tensor.
    ambiguous : bool, whether the prompt is a single click.
    served : Tensor bool (B, 4, H, W) or None, the masks whose IoU is predicted; None for the logits above 0.
    """
    losses = mask_loss(logits, target[:, None].expand_as(logits))
    single, best = losses[:, 0], losses[:, 1:].min(1).values
    weights = (0.4, 1.0) if ambiguous else (1.0, 0.3)
    iou = true_iou(logits if served is None else served, target[:, None].expand_as(logits))
    calibration = functional.mse_loss(predicted_iou, iou, reduction="none").mean(1)
    return (weights[0] * single + weights[1] * best + 2.0 * calibration).mean()
