"""Trains the refiner step by step: chains of simulated clicks, saved and resumed at any step."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor
from torch.nn import functional

import sam_backend.segmenters.nano as nano_files
from sam_backend.arrays import BoolArray, FloatArray
from sam_backend.errors import SamInspectError
from sam_backend.finetune.losses import mask_loss, true_iou
from sam_backend.finetune.trainable import digest_of
from sam_backend.finetune.training_loop import Optimisation, read_checkpoint
from sam_backend.masks import mask_depths
from sam_backend.segmenters.refiner.architecture import RefinerNet
from sam_backend.segmenters.refiner.guidance import guidance_maps
from sam_research.refiner.refiner_recipe import RefinerRecipe
from sam_research.refiner.windows import Windows

CHECKPOINT = "checkpoint.pt"

_CLIP = 4.0
_AVERAGE = 0.998
_QUALITY = 0.5
_SOFT = 0.3
"""Share of batches whose next click sees probabilities; they tell more than masks, but serving has masks alone."""

_MEAN, _SPREAD = 127.0, 128.0
_EXTENDABLE = ("steps", "fall")


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


def correcting_click(rng: Generator, mask: BoolArray, target: BoolArray) -> tuple[tuple[int, int], int] | None:
    """Return a click xy deep inside what is wrong, and its label; None where nothing is wrong.

    Half of the clicks go to the deepest pixels, as `sam_evaluation.protocols` simulates; the others are less exact.
    """
    best: tuple[float, FloatArray, tuple[int, int], int] | None = None
    for wrong, label in ((target & ~mask, 1), (mask & ~target, 0)):
        depths = mask_depths(wrong)
        if depths is not None and (best is None or depths[0].max() > best[0]):
            best = float(depths[0].max()), depths[0], depths[1], label
    if best is None:
        return None
    deepest, distance, (left, top), label = best
    rows, columns = np.nonzero(distance >= (0.5 if rng.random() < 0.5 else 0.999) * deepest)
    pixel = int(rng.integers(len(rows)))
    return (left + int(columns[pixel]), top + int(rows[pixel])), label


class RefinerTrainer:
    """A refiner in training.

    Parameters
    ----------
    recipe : RefinerRecipe.
    out : Path, the folder of the checkpoint.
    start : dict of Tensor or None, the weights of an earlier training to start from.
    threads : int, of PyTorch.
    """

    def __init__(
        self, recipe: RefinerRecipe, out: Path, start: dict[str, Tensor] | None = None, threads: int = 1
    ) -> None:
        torch.manual_seed(recipe.seed)
        torch.set_num_threads(threads)
        self.recipe, self.out = replace(recipe, start=digest_of(start) if start else ""), out
        self.model = RefinerNet()
        self.model.backbone.load_state_dict(nano_backbone(self.model.backbone.state_dict()))
        if start is not None:
            self.model.load_state_dict(start)
        self.model = self.model.to(memory_format=torch.channels_last)
        self.optimisation = Optimisation(
            self.model.state_dict(keep_vars=True),
            recipe.schedule,
            rate=recipe.rate,
            slow_rate=recipe.backbone_rate,
            slow="backbone.",
            clip=_CLIP,
            average=_AVERAGE,
        )

    def take_step(self, windows: Windows) -> dict[str, float]:
        """Learn from a batch; return the loss and the mean IoU before and after each click.

        Raises
        ------
        NonFiniteLossError
            If the loss is not a finite number; the weights are as before.
        """
        self.optimisation.begin_step()
        rng = np.random.default_rng([self.recipe.seed, self.optimisation.step, 1])
        losses: list[Tensor] = []
        shown: dict[str, float] = {}

        def learn(number: int, logits: Tensor, quality: Tensor, targets: Tensor) -> None:
            iou = true_iou(logits.detach(), targets)
            losses.append(mask_loss(logits, targets).mean())
            losses.append(_QUALITY * functional.binary_cross_entropy_with_logits(quality, iou))
            shown[f"iou{number}"] = float(iou.mean())

        clicks = int(rng.integers(1, self.recipe.most_clicks + 1))
        with torch.autocast("cpu", torch.bfloat16):
            run_chains(self.model, windows, rng, clicks, learn)
        loss = torch.stack(losses).sum() / clicks
        self.optimisation.require_finite(float(loss.detach()))
        torch.autograd.backward(loss)
        self.optimisation.end_step()
        return {"loss": float(loss.detach()), **shown}

    def save(self) -> None:
        """Write a checkpoint, whole or not at all."""
        self.optimisation.checkpoint(self._identity()).write(self.out / CHECKPOINT)

    def resume(self) -> bool:
        """Continue from the checkpoint in `out`; its length may be another one.

        Returns
        -------
        bool
            False if there is none that this version can read.

        Raises
        ------
        SamInspectError
            If another recipe made it.
        """
        checkpoint = read_checkpoint(self.out / CHECKPOINT)
        if checkpoint is None:
            return False
        if checkpoint.identity != self._identity():
            raise SamInspectError(f"{self.out / CHECKPOINT} was made by another recipe; give another --out.")
        self.optimisation.resume(checkpoint)
        return True

    def _identity(self) -> str:
        decided = {name: value for name, value in asdict(self.recipe).items() if name not in _EXTENDABLE}
        return json.dumps(decided, sort_keys=True)


def run_chains(
    model: RefinerNet,
    windows: Windows,
    rng: Generator,
    clicks: int,
    learn: Callable[[int, Tensor, Tensor, Tensor], None],
) -> None:
    """Correct the masks of windows click by click, and show each answer to `learn`.

    Parameters
    ----------
    model : RefinerNet.
    windows : Windows.
    rng : Generator.
    clicks : int.
    learn : function of the number of the click from 1 on, logits (B, S, S), the logit of the predicted IoU (B,), and
        the targets (B, S, S).
    """
    chains = Chains(windows)
    soft = bool(rng.random() < _SOFT)
    targets = torch.from_numpy(chains.targets).float()
    pixels = (torch.from_numpy(windows.pixels).permute(0, 3, 1, 2).float() - _MEAN) / _SPREAD
    pixels = pixels.contiguous(memory_format=torch.channels_last)
    owner = torch.arange(len(pixels)).repeat_interleave(windows.targets.shape[1])
    features = [level[owner] for level in model.features(pixels)]
    for number in range(1, clicks + 1):
        maps = chains.click(rng).contiguous(memory_format=torch.channels_last)
        logits, quality = model.head(pixels[owner], features, maps)
        learn(number, logits, quality, targets)
        chains.answer(logits, soft)


def nano_backbone(wanted: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights of the backbone that ships with `nano`, for the names of a backbone's state."""
    from safetensors.torch import load_file

    weights = load_file(Path(nano_files.__file__).parent / "weights.safetensors")
    return {name: weights[f"image_encoder.backbone.{name}"] for name in wanted}
