"""Trains `nano` step by step: seeded, in stages of growing image size, saved and resumed at any step."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
import torch.distributed as distributed
from torch import Tensor

from sam_backend.errors import SamInspectError
from sam_backend.finetune.prompted_loss import Prompting, prompted_loss
from sam_backend.finetune.training_loop import Optimisation, Schedule, read_checkpoint
from sam_backend.segmenters.nano.architecture import build_nano
from sam_research.batches import Batch
from sam_research.imagenet import load_imagenet
from sam_research.nano_recipe import NanoRecipe

CHECKPOINT = "checkpoint.pt"

_FLOOR = 0.01


class Trainer:
    """A `nano` in training: takes, saves and resumes steps.

    With several replicas each process has its own trainer, and `torch.distributed` joins their gradients.

    Parameters
    ----------
    recipe : NanoRecipe.
    out : Path, the folder of the checkpoint.
    replica : int, the rank of this process.
    start : dict of Tensor or None, the weights to start from; None for an encoder with its ImageNet weights and the
        rest at random.
    device : str, "cpu" or "cuda". A CUDA GPU gives other last digits than a CPU.
    """

    def __init__(
        self,
        recipe: NanoRecipe,
        out: Path,
        replica: int = 0,
        start: dict[str, Tensor] | None = None,
        device: str = "cpu",
    ) -> None:
        torch.manual_seed(recipe.seed)
        torch.set_num_threads(1)
        self.recipe, self.out, self.replica, self.device = recipe, out, replica, device
        self.model = build_nano()
        load_imagenet(self.model.image_encoder.backbone)
        if start is not None:
            self.model.load_state_dict(start)
        self.model = self.model.to(device, memory_format=torch.channels_last)
        self.optimisation = Optimisation(
            self.model.state_dict(keep_vars=True),
            Schedule(recipe.steps, recipe.warm_up, _FLOOR),
            rate=recipe.learning_rate,
            slow_rate=recipe.backbone_rate,
            slow="image_encoder.backbone.",
            clip=recipe.clip,
            average=recipe.average,
        )

    @property
    def step(self) -> int:
        """The number of steps done."""
        return self.optimisation.step

    def take_step(self, batch: Batch) -> dict[str, float]:
        """Learn from one batch; return the loss and the mean IoUs by name.

        Raises
        ------
        NonFiniteLossError
            If the loss is not a finite number; the weights are as before.
        """
        recipe, stage = self.recipe, self.recipe.stage(self.step)
        self.optimisation.begin_step()
        self.model.image_encoder.backbone.requires_grad_(stage.train_backbone)
        rng = np.random.default_rng([recipe.seed, self.step, self.replica, 1])
        with torch.autocast(self.device, torch.bfloat16):
            embedding = self._encode(batch.images, stage.size)
            single_click = rng.random() < recipe.click_share
            prompting = Prompting(single_click, recipe.corrections(self.step), recipe.clicked_iou)
            loss, shown = prompted_loss(self.model, embedding, batch.targets.to(self.device), rng, prompting)
        self.optimisation.require_finite(float(loss.detach()))
        torch.autograd.backward(loss)
        if distributed.is_initialized():
            self._join_gradients()
        self.optimisation.end_step()
        return shown

    def save(self) -> None:
        """Write a checkpoint, whole or not at all."""
        self.optimisation.checkpoint(_text(self.recipe)).write(self.out / CHECKPOINT)

    def resume(self) -> bool:
        """Continue from the checkpoint in `out`; return False if there is none that this version can read.

        Raises
        ------
        SamInspectError
            If another recipe made it; the message names the differences.
        """
        path = self.out / CHECKPOINT
        checkpoint = read_checkpoint(path)
        if checkpoint is None:
            return False
        if checkpoint.identity != _text(self.recipe):
            there, here = (json.loads(text) for text in (checkpoint.identity, _text(self.recipe)))
            differing = "; ".join(
                f"{name} {there.get(name)}, not {here[name]}" for name in here if there.get(name) != here[name]
            )
            raise SamInspectError(
                f"{path} was made by another recipe ({differing}); give the same options, or another --out."
            )
        self.optimisation.resume(checkpoint)
        return True

    def _encode(self, images: Tensor, size: int) -> Tensor:
        model = self.model
        model.prompt_encoder.resize(size)
        pixels = (images.to(self.device).float() - model.pixel_mean) / model.pixel_std
        embedding: Tensor = model.image_encoder(pixels.to(memory_format=torch.channels_last))
        return embedding

    def _join_gradients(self) -> None:
        """Replace each gradient by its mean over the replicas; a weight that one of them did not use counts as zero."""
        learning = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        joined = torch.cat([(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in learning])
        distributed.all_reduce(joined)
        joined /= distributed.get_world_size()
        for parameter, part in zip(learning, torch.split(joined, [p.numel() for p in learning]), strict=True):
            parameter.grad = part.view_as(parameter)


def weights_of(folder: Path) -> dict[str, Tensor]:
    """Return the averaged weights that a training left in its folder.

    Raises
    ------
    SamInspectError
        If there are none that this version can read.
    """
    path = folder / CHECKPOINT
    if not path.exists():
        raise SamInspectError(f"{folder} holds no training to start from: {CHECKPOINT} is missing.")
    checkpoint = read_checkpoint(path)
    if checkpoint is None:
        raise SamInspectError(f"{path} cannot be read, or another version wrote it; run that training again.")
    return checkpoint.average


def _text(recipe: NanoRecipe) -> str:
    return json.dumps(asdict(recipe), sort_keys=True)
