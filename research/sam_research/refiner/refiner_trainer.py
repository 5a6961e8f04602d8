"""Trains the refiner step by step: chains of simulated clicks, saved and resumed at any step."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

import sam_backend.segmenters.nano as nano_files
from sam_backend.errors import SamInspectError
from sam_backend.finetune.trainable import digest_of
from sam_backend.finetune.training_loop import Optimisation, read_checkpoint
from sam_backend.segmenters.refiner.architecture import RefinerNet, normalised
from sam_research.refiner.chains import ChainLoss, run_chains
from sam_research.refiner.refiner_recipe import RefinerRecipe
from sam_research.refiner.training_windows import Windows

CHECKPOINT = "checkpoint.pt"

_CLIP = 4.0
_AVERAGE = 0.998
_EXTENDABLE = ("steps", "fall")


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
        chains = ChainLoss()
        clicks = int(rng.integers(1, self.recipe.most_clicks + 1))
        pixels = normalised(torch.from_numpy(windows.pixels)).contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16):
            run_chains(self.model.head, windows, pixels, self.model.features(pixels), rng, clicks, chains.learn)
        loss = chains.mean
        self.optimisation.require_finite(float(loss.detach()))
        torch.autograd.backward(loss)
        self.optimisation.end_step()
        shown = {f"iou{number}": float(iou.mean()) for number, iou in enumerate(chains.iou, 1)}
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


def nano_backbone(wanted: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights of the backbone that ships with `nano`, for the names of a backbone's state."""
    from safetensors.torch import load_file

    weights = load_file(Path(nano_files.__file__).parent / "weights.safetensors")
    return {name: weights[f"image_encoder.backbone.{name}"] for name in wanted}
