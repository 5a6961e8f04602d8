"""The clicks of a batch of simulated annotators so far, and the mask that serving would show them."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sam_backend.finetune.simulated_prompts import correcting_click
from sam_backend.segmenters.pieces import clicked_pieces


class Clicks:
    """Clicks of a batch of B prompts, equally many for each, in cells of the decoder's output grid.

    Parameters
    ----------
    count : B.
    stride : pixels of the encoder's input that a cell is wide.
    """

    def __init__(self, count: int, stride: int = 2) -> None:
        self.coords: NDArray[np.float32] = np.zeros((count, 0, 2), np.float32)
        self.labels: NDArray[np.int64] = np.zeros((count, 0), np.int64)
        self._stride = stride

    def add(self, clicks: list[tuple[tuple[float, float], int]]) -> None:
        """Add a click (x, y) and its label to each prompt."""
        coords = np.array([[point] for point, _ in clicks], np.float32)
        labels = np.array([[label] for _, label in clicks], np.int64)
        self.coords = np.concatenate([self.coords, coords], 1)
        self.labels = np.concatenate([self.labels, labels], 1)

    def add_corrections(self, rng: np.random.Generator, masks: NDArray[np.bool_], logits: Tensor) -> None:
        """Add a click where logits (B, h, w) are most wrong of masks (B, h, w)."""
        predictions = (logits > 0).cpu().numpy()
        self.add([correcting_click(rng, mask, guess) for mask, guess in zip(masks, predictions, strict=True)])

    def tensors(self, device: torch.device) -> tuple[Tensor, Tensor] | None:
        """Return coords (B, N, 2) in input pixels and labels (B, N) on a device; None without a click."""
        if not self.coords.shape[1]:
            return None
        middle = np.float32((self._stride - 1) / 2)
        coords = torch.from_numpy(self.coords * self._stride + middle)
        return coords.to(device), torch.from_numpy(self.labels).to(device)

    def pieces(self, logits: Tensor) -> Tensor:
        """Return masks bool (B, K, h, w) as they are served after a lone click: the pieces that it is on."""
        masks = (logits > 0).cpu().numpy()
        found = [[clicked_pieces(mask, at) for mask in each] for each, at in zip(masks, self.coords, strict=True)]
        return torch.from_numpy(np.array(found)).to(logits.device)


def chosen(logits: Tensor, predicted: Tensor, ambiguous: bool) -> Tensor:
    """Return of four masks' logits (B, 4, h, w) and predicted IoU (B, 4) the logits (B, h, w) that serving returns."""
    if not ambiguous:
        return logits[:, 0]
    best = 1 + predicted[:, 1:].argmax(1)
    return logits[torch.arange(len(logits)), best]
