"""The clicks of a batch of simulated annotators, and the masks that serving would show for them."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sam_backend.arrays import BoolArray
from sam_backend.finetune.simulated_prompts import correcting_click
from sam_backend.segmenters.pieces import clicked_pieces


class ClickBatch:
    """The clicks of B prompts, the same number for each prompt.

    Parameters
    ----------
    count : int, B.
    stride : int, pixels of the encoder's input in the width of one cell of the decoder's output.

    Attributes
    ----------
    coords : float32 (B, N, 2), x and y in cells.
    labels : int64 (B, N), 1 positive, 0 negative.
    """

    def __init__(self, count: int, stride: int = 2) -> None:
        self.coords: NDArray[np.float32] = np.zeros((count, 0, 2), np.float32)
        self.labels: NDArray[np.int64] = np.zeros((count, 0), np.int64)
        self._stride = stride

    def add(self, clicks: list[tuple[tuple[float, float], int]]) -> None:
        """Add one click to each prompt: ((x, y), label), in cells."""
        coords = np.array([[point] for point, _ in clicks], np.float32)
        labels = np.array([[label] for _, label in clicks], np.int64)
        self.coords = np.concatenate([self.coords, coords], 1)
        self.labels = np.concatenate([self.labels, labels], 1)

    def add_corrections(self, rng: np.random.Generator, masks: BoolArray, logits: Tensor) -> None:
        """Add to each prompt a click into the largest error of logits (B, h, w) against masks (B, h, w)."""
        predictions = (logits > 0).cpu().numpy()
        pairs = zip(masks, predictions, strict=True)
        self.add([correcting_click(rng, mask, prediction) for mask, prediction in pairs])

    def tensors(self, device: torch.device) -> tuple[Tensor, Tensor] | None:
        """Return coords (B, N, 2) in input pixels and labels (B, N) on a device; None without any click."""
        if not self.coords.shape[1]:
            return None
        middle = np.float32((self._stride - 1) / 2)
        coords = torch.from_numpy(self.coords * self._stride + middle)
        return coords.to(device), torch.from_numpy(self.labels).to(device)

    def pieces(self, logits: Tensor) -> Tensor:
        """Return the masks bool (B, K, h, w) that serving shows for logits (B, K, h, w): the clicked pieces only."""
        predictions = (logits > 0).cpu().numpy()
        pieces = [
            [clicked_pieces(mask, coords) for mask in masks]
            for masks, coords in zip(predictions, self.coords, strict=True)
        ]
        return torch.from_numpy(np.array(pieces)).to(logits.device)


def served_logits(logits: Tensor, predicted_iou: Tensor, ambiguous: bool) -> Tensor:
    """Return the logits (B, h, w) that serving returns.

    Parameters
    ----------
    logits, predicted_iou : Tensor (B, 4, h, w) and (B, 4), of SAM's single mask and its three ambiguity-aware masks.
    ambiguous : bool, whether the prompt is a single click, which the best of the three masks answers.
    """
    if not ambiguous:
        return logits[:, 0]
    best = 1 + predicted_iou[:, 1:].argmax(1)
    return logits[torch.arange(len(logits), device=logits.device), best]
