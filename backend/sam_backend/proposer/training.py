"""The training of a proposer: random crops, cross-entropy and dice, the averaged weights of the last steps."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from sam_backend.finetune.training_loop import Optimisation, Schedule, read_checkpoint
from sam_backend.proposer.crops import CropSource
from sam_backend.proposer.net import ProposerNet

CROP = 192
"""Side in pixels of a training crop."""

_FLOOR = 0.02
_CLIP = 4.0
_TIMED_STEPS = 10
"""After each so many steps, the length of the training is adapted to the speed of the machine."""

_PATIENCE = 4.0
"""A training ends after so many times its minutes, however busy the machine is."""

_SAVE_EVERY = 30.0
"""Seconds between checkpoints."""


@dataclass(frozen=True)
class ProposerRecipe:
    """The settings that decide a training, together with the images and the starting weights.

    Attributes
    ----------
    steps : int, the most steps.
    minutes : float, the most minutes of computing; a slow machine takes fewer steps.
    crops : int, the crops of a step.
    learning_rate, backbone_rate : float, the highest rates.
    warm_up : int, the steps in which the rate rises.
    average : float, the decay of the running average of the weights, which is what is kept.
    seed : int.
    """

    steps: int = 1400
    minutes: float = 8.0
    crops: int = 8
    learning_rate: float = 2e-3
    backbone_rate: float = 4e-4
    warm_up: int = 40
    average: float = 0.99
    seed: int = 0


@dataclass(frozen=True)
class Saved:
    """A training on disk.

    Attributes
    ----------
    path : Path of the checkpoint.
    data : str, all that decides the weights beside the recipe; with other data a training starts anew.
    """

    path: Path
    data: str


def train(
    net: ProposerNet,
    source: CropSource,
    recipe: ProposerRecipe,
    show: Callable[[int, int, float], None] = lambda step, steps, loss: None,
    device: str | None = None,
    saved: Saved | None = None,
) -> None:
    """Train a net in place; it ends with its averaged weights, on the CPU, ready for export.

    The same images, recipe and starting weights give the same weights on the CPU of the same machine, unless the time
    is over before the steps are done. A training that was interrupted goes on from its checkpoint.

    Parameters
    ----------
    net : ProposerNet.
    source : CropSource.
    recipe : ProposerRecipe.
    show : function, called after each step with the steps done, all steps, and the running mean of the loss.
    device : a torch device; None takes a CUDA GPU if there is one.
    saved : Saved, where the checkpoint is; None for none.

    Raises
    ------
    NonFiniteLossError
        If a loss is not a finite number.
    OSError
        If a checkpoint cannot be written.
    """
    place = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    # A service beside it needs the other cores.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        # Convolutions are a tenth faster in this memory format.
        net.train().to(place).to(memory_format=torch.channels_last)
        optimisation = Optimisation(
            net.trained(),
            Schedule(recipe.steps, recipe.warm_up, _FLOOR),
            rate=recipe.learning_rate,
            slow_rate=recipe.backbone_rate,
            slow="backbone.",
            clip=_CLIP,
            average=recipe.average,
        )
        _take_steps(net, source, recipe, optimisation, place, show, saved)
        optimisation.use(optimisation.average.values)
        net.eval().to("cpu")
    finally:
        torch.set_num_threads(threads)


def _take_steps(
    net: ProposerNet,
    source: CropSource,
    recipe: ProposerRecipe,
    optimisation: Optimisation,
    place: torch.device,
    show: Callable[[int, int, float], None],
    saved: Saved | None,
) -> None:
    identity = json.dumps([asdict(recipe), saved.data if saved else ""])
    checkpoint = read_checkpoint(saved.path) if saved else None
    used_before, mean = 0.0, float("nan")
    if checkpoint and checkpoint.identity == identity:
        optimisation.resume(checkpoint)
        used_before, mean = json.loads(checkpoint.notes)
    started, computed_before = time.monotonic(), time.process_time()

    def used() -> float:
        """Return the seconds of computing so far. Clicks that are answered meanwhile cost none."""
        here = max(time.process_time() - computed_before, (time.monotonic() - started) / _PATIENCE)
        return used_before + here

    def adapt() -> None:
        """Let the learning rate end when the time is over."""
        step, left = optimisation.step, max(60 * recipe.minutes - used(), 0)
        steps = min(recipe.steps, step + int(left * step / max(used(), 1e-9)))
        optimisation.schedule = Schedule(max(steps, step), recipe.warm_up, _FLOOR)

    def take_step() -> float:
        rng = np.random.default_rng([recipe.seed, optimisation.step])
        crops = [source.draw(rng) for _ in range(recipe.crops)]
        images = torch.from_numpy(np.stack([crop.image for crop in crops])).to(place).permute(0, 3, 1, 2).float()
        labels = torch.from_numpy(np.stack([crop.labels for crop in crops])).to(place).long()
        optimisation.begin_step()
        with torch.autocast(place.type, torch.bfloat16):
            logits = net(images)
        loss = segmentation_loss(logits.float(), labels)
        optimisation.require_finite(float(loss.detach()))
        loss.backward()  # type: ignore[no-untyped-call]
        optimisation.end_step()
        return float(loss.detach())

    def after_step(loss: float) -> bool:
        nonlocal mean
        step = optimisation.step
        mean = loss if math.isnan(mean) else 0.97 * mean + 0.03 * loss
        if step % _TIMED_STEPS == 0:
            adapt()
        show(step, optimisation.schedule.steps, mean)
        return False

    def save() -> None:
        if saved:
            optimisation.checkpoint(identity, json.dumps([used(), mean])).write(saved.path)

    if optimisation.step:
        adapt()
    optimisation.run(take_step, after_step, save, save_every=_SAVE_EVERY)


def segmentation_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Return cross-entropy plus 1 - soft Dice, the mean over the classes that a batch shows (Milletari et al. 2016).

    Parameters
    ----------
    logits : float (B, 1 + K, H, W), the background first.
    labels : int64 (B, H, W) in [0, K].
    """
    shares = logits.softmax(1)
    truth = functional.one_hot(labels, logits.shape[1]).permute(0, 3, 1, 2).float()
    shown = truth.sum((0, 2, 3))
    dice = 1 - (2 * (shares * truth).sum((0, 2, 3)) + 1) / (shares.sum((0, 2, 3)) + shown + 1)
    # A class that no crop shows would be told to vanish everywhere.
    defects = dice[1:][shown[1:] > 0]
    loss: Tensor = functional.cross_entropy(logits, labels)
    return loss + (defects.mean() if len(defects) else 0.0)
