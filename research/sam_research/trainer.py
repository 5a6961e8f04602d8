"""Trains `nano` step by step: seeded, in stages of growing image size, saved and resumed at any step."""

from __future__ import annotations

import copy
import hashlib
import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
import torch.distributed as distributed
from torch import Tensor

from sam_backend.errors import SamInspectError
from sam_backend.finetune.lessons import Lesson, teach
from sam_backend.segmenters.nano.architecture import build_nano
from sam_research.batches import Batch
from sam_research.imagenet import load_imagenet
from sam_research.recipe import Recipe

CHECKPOINT = "checkpoint.pt"


class Trainer:
    """Holds the model, its running average and the optimiser, and knows how to take, save and resume a step.

    With several replicas each process has a trainer of its own, and `torch.distributed` joins their gradients.

    Parameters
    ----------
    recipe : what decides the weights.
    out : folder of the checkpoint.
    replica : rank of this process.
    start : weights to start from; None for an encoder that knows ImageNet, and the rest at random.
    device : where the arithmetic is done; a CUDA GPU gives other last digits than a CPU.
    """

    def __init__(
        self,
        recipe: Recipe,
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
        self.averaged = copy.deepcopy(self.model)
        backbone = list(self.model.image_encoder.backbone.parameters())
        known = {id(parameter) for parameter in backbone}
        rest = [parameter for parameter in self.model.parameters() if id(parameter) not in known]
        self.optimiser = torch.optim.AdamW(
            [{"params": rest, "rate": recipe.learning_rate}, {"params": backbone, "rate": recipe.backbone_rate}],
            lr=recipe.learning_rate,
            weight_decay=0.01,
        )
        self.step = 0
        self.seconds = 0.0

    def take_step(self, batch: Batch) -> dict[str, float]:
        """Learn from one batch and return what to show of it.

        Raises
        ------
        SamInspectError
            If the loss is no finite number; the weights are as before.
        """
        recipe, stage = self.recipe, self.recipe.stage(self.step)
        for group in self.optimiser.param_groups:
            group["lr"] = recipe.rate(group["rate"], self.step)
        self.model.image_encoder.backbone.requires_grad_(stage.train_backbone)
        rng = np.random.default_rng([recipe.seed, self.step, self.replica, 1])
        with torch.autocast(self.device, torch.bfloat16):
            embedding = self._encode(batch.images, stage.size)
            lesson = Lesson(rng.random() < recipe.click_share, recipe.corrections(self.step), recipe.clicked_iou)
            loss, shown = teach(self.model, embedding, batch.targets.to(self.device), rng, lesson)
        if not torch.isfinite(loss):
            raise SamInspectError(f"The loss became {loss.item()} at step {self.step}; the last checkpoint is kept.")
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        if distributed.is_initialized():
            self._join_gradients()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), recipe.clip)
        self.optimiser.step()
        self._average()
        self.step += 1
        return shown

    def _encode(self, images: Tensor, size: int) -> Tensor:
        model = self.model
        model.prompt_encoder.resize(size)
        pixels = (images.to(self.device).float() - model.pixel_mean) / model.pixel_std
        embedding: Tensor = model.image_encoder(pixels.to(memory_format=torch.channels_last))
        return embedding

    def _join_gradients(self) -> None:
        """Replace each gradient by its mean over the replicas; a prompt that one of them did not use counts as zero."""
        learning = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        joined = torch.cat([(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in learning])
        distributed.all_reduce(joined)
        joined /= distributed.get_world_size()
        for parameter, part in zip(learning, joined.split([p.numel() for p in learning]), strict=True):
            parameter.grad = part.view_as(parameter)

    def _average(self) -> None:
        keep = min(self.recipe.average, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for old, new in zip(self.averaged.parameters(), self.model.parameters(), strict=True):
                old.lerp_(new, 1 - keep)

    def save(self) -> None:
        """Write a checkpoint, whole or not at all."""
        self.out.mkdir(parents=True, exist_ok=True)
        part = self.out / "checkpoint.part"
        state = {
            "recipe": _written(self.recipe),
            "step": self.step,
            "seconds": self.seconds,
            "model": self.model.state_dict(),
            "averaged": self.averaged.state_dict(),
            "optimiser": self.optimiser.state_dict(),
        }
        torch.save(state, part)
        part.replace(self.out / CHECKPOINT)

    def resume(self) -> bool:
        """Go on from the checkpoint in `out`, if there is one; it must have been made by the same recipe.

        Raises
        ------
        SamInspectError
            If it was not; both recipes are named where they differ.
        """
        path = self.out / CHECKPOINT
        if not path.exists():
            return False
        state = torch.load(path, map_location=self.device, weights_only=True)
        if state["recipe"] != _written(self.recipe):
            there, here = (json.loads(each) for each in (state["recipe"], _written(self.recipe)))
            differing = "; ".join(
                f"{name} {there.get(name)}, not {here[name]}" for name in here if there.get(name) != here[name]
            )
            raise SamInspectError(
                f"{path} was made by another recipe ({differing}); give the same options, or another --out."
            )
        self.model.load_state_dict(state["model"])
        self.averaged.load_state_dict(state["averaged"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.step, self.seconds = state["step"], state["seconds"]
        return True


def weights_of(folder: Path) -> dict[str, Tensor]:
    """Return the averaged weights that a training left in its folder.

    Raises
    ------
    SamInspectError
        If there are none.
    """
    path = folder / CHECKPOINT
    if not path.exists():
        raise SamInspectError(f"{folder} holds no training to start from: {CHECKPOINT} is missing.")
    weights: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)["averaged"]
    return weights


def digest_of(weights: dict[str, Tensor]) -> str:
    """Return sixteen hex digits that tell weights apart."""
    digest = hashlib.sha256()
    for name, values in weights.items():
        digest.update(name.encode() + values.contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def _written(recipe: Recipe) -> str:
    """Return a recipe as text, which a checkpoint can hold without code that would be run by whoever opens it."""
    return json.dumps(asdict(recipe), sort_keys=True)
