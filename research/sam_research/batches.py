"""The batches that `nano` learns from: views of scenes and their masks. Each batch is a function of its number."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sam_research.augmentation import view
from sam_research.nano_recipe import NanoRecipe
from sam_research.scenes.composition import COMPOSITIONS
from sam_research.scenes.regions import REGIONS
from sam_research.scenes.scene import SURFACES
from sam_research.scenes.scene_store import load_scene

MIN_PIXELS = 8
"""Cells of the decoder's output; smaller masks are no training target."""


@dataclass(frozen=True, eq=False)
class Batch:
    """Images (I, 3, S, S) uint8 and, grouped by image, target coverage (I * P, S / 2, S / 2) in [0, 1]."""

    images: Tensor
    targets: Tensor


class SceneBatches(torch.utils.data.IterableDataset[Batch]):
    """The batches of a replica; batch n is a function of (seed, n, replica), so a resumed training gets the same ones.

    `start` is the first step, `replica` the rank of the process.
    """

    def __init__(self, recipe: NanoRecipe, folder: Path, start: int, replica: int) -> None:
        self.recipe, self.folder, self.start, self.replica = recipe, folder, start, replica

    def __iter__(self) -> Iterator[Batch]:
        """Yield the batches from `start` on; with several workers, each yields its share."""
        info = torch.utils.data.get_worker_info()
        worker, workers = (info.id, info.num_workers) if info else (0, 1)
        for step in range(self.start + worker, self.recipe.steps, workers):
            yield make_batch(self.recipe, self.folder, step, self.replica)


def make_batch(recipe: NanoRecipe, folder: Path, step: int, replica: int = 0) -> Batch:
    """Return the batch of one step and replica."""
    stage = recipe.stage(step)
    rng = np.random.default_rng([recipe.seed, step, replica])
    images: list[Tensor] = []
    targets: list[Tensor] = []
    while len(images) < stage.images:
        scene = load_scene(folder, _scene_number(recipe, rng))
        image, coverage = view(rng, scene, stage.size)
        areas = (coverage >= 0.5).sum((1, 2))
        usable = np.flatnonzero((areas >= MIN_PIXELS) & (areas < 0.9 * coverage[0].size))
        if not len(usable):
            continue
        chosen = rng.choice(usable, stage.prompts, replace=len(usable) < stage.prompts)
        images.append(torch.from_numpy(image.transpose(2, 0, 1).copy()))
        targets.append(torch.from_numpy(coverage[chosen]))
    return Batch(torch.stack(images), torch.cat(targets))


def _scene_number(recipe: NanoRecipe, rng: np.random.Generator) -> int:
    if recipe.compositions and rng.random() < recipe.composition_share:
        if rng.random() < recipe.region_share and recipe.regions:
            return REGIONS + int(rng.integers(recipe.regions))
        return COMPOSITIONS + int(rng.integers(recipe.compositions))
    if rng.random() < recipe.surface_share:
        return SURFACES + int(rng.integers(recipe.surfaces))
    return int(rng.integers(recipe.scenes))
