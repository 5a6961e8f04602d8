"""Chains of simulated clicks: each answer of the head is corrected by the next click, as people do."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor
from torch.nn import functional

from sam_backend.finetune.losses import mask_loss, true_iou
from sam_backend.finetune.refiner.served_chain import correcting_click
from sam_backend.segmenters.refiner.architecture import Head
from sam_backend.segmenters.refiner.guidance import guidance_maps
from sam_research.refiner.training_windows import Windows

_SOFT = 0.3
"""Share of batches whose next click sees probabilities; they tell more than masks, but serving has masks alone."""

_QUALITY = 0.5


class Chains:
    """The masks and clicks of B targets, while they are corrected.

    Parameters
    ----------
    windows : Windows.
    """

    def __init__(self, windows: Windows) -> None:
        side = windows.masks.shape[-1]
        self.targets = windows.targets.reshape(-1, side, side)
        self.probability = windows.masks.reshape(-1, side, side).astype(np.float32)
        self._waits = ~windows.clicked.reshape(-1)
        count = len(self.targets)
        self._points: list[list[tuple[int, int]]] = [[] for _ in range(count)]
        self._labels: list[list[int]] = [[] for _ in range(count)]

    def click(self, rng: Generator) -> Tensor:
        """Let each annotator click, and return the maps (B, MAPS, S, S); the first time, some of them only look."""
        maps = []
        for index, target in enumerate(self.targets):
            last = None
            if not self._waits[index]:
                click = correcting_click(rng, self.probability[index] > 0.5, target)
                if click is not None:
                    self._points[index].append(click[0])
                    self._labels[index].append(click[1])
                    last = len(self._labels[index]) - 1
            points = np.array(self._points[index], np.float32).reshape(-1, 2)
            maps.append(guidance_maps(self.probability[index], points, np.array(self._labels[index], np.int64), last))
        self._waits[:] = False
        return torch.from_numpy(np.stack(maps))

    def answer(self, logits: Tensor, soft: bool) -> None:
        """Take in the logits (B, S, S) of the corrected masks, as probabilities or, as serving does, as masks."""
        logits = logits.detach()
        self.probability = (torch.sigmoid(logits) if soft else (logits > 0).float()).cpu().numpy()


def run_chains(
    head: Head,
    windows: Windows,
    pixels: Tensor,
    features: Sequence[Tensor],
    rng: Generator,
    clicks: int,
    learn: Callable[[int, Tensor, Tensor, Tensor], None],
) -> None:
    """Correct the masks of windows click by click, and show each answer to `learn`.

    Parameters
    ----------
    head : Head.
    windows : Windows.
    pixels : (W, 3, S, S), their pixels, normalised.
    features : of `Head.features`, each with W rows.
    rng : Generator.
    clicks : int.
    learn : function of the number of the click from 1 on, logits (B, S, S), the logit of the predicted IoU (B,), and
        the targets (B, S, S), for the B tasks of all windows.
    """
    chains = Chains(windows)
    soft = bool(rng.random() < _SOFT)
    targets = torch.from_numpy(chains.targets).float()
    owner = torch.arange(len(pixels)).repeat_interleave(windows.targets.shape[1])
    features = [level[owner] for level in features]
    for number in range(1, clicks + 1):
        maps = chains.click(rng).contiguous(memory_format=torch.channels_last)
        logits, quality = head(pixels[owner], features, maps)
        learn(number, logits, quality, targets)
        chains.answer(logits, soft)


class ChainLoss:
    """The loss of chains, and what they reached; its `learn` is for `run_chains`."""

    def __init__(self) -> None:
        self._losses: list[Tensor] = []
        self.iou: list[Tensor] = []
        """IoU (B,) after each click."""

    def learn(self, number: int, logits: Tensor, quality: Tensor, targets: Tensor) -> None:
        """Take in an answer; see `run_chains`."""
        self.iou.append(true_iou(logits.detach(), targets))
        self._losses.append(mask_loss(logits, targets).mean())
        self._losses.append(_QUALITY * functional.binary_cross_entropy_with_logits(quality, self.iou[-1]))

    @property
    def mean(self) -> Tensor:
        """The mean loss of a click."""
        return torch.stack(self._losses).sum() / len(self.iou)
