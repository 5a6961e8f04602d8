"""Batches of training windows of scenes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.random import Generator

from sam_research.augmentation import photometric
from sam_research.refiner.model_answers import load_answers
from sam_research.refiner.refiner_recipe import RefinerRecipe
from sam_research.refiner.training_windows import Windows, make_window
from sam_research.scenes.scene_store import load_scene


class WindowBatches(torch.utils.data.IterableDataset[Windows]):
    """The batches of a training; batch n is a function of (seed, n), so a resumed training gets the same ones.

    Parameters
    ----------
    recipe : RefinerRecipe.
    scenes : Path, the folder of scenes.
    answers : Path or None, the folder of a model's answers on them.
    start : int, the first batch.
    """

    def __init__(self, recipe: RefinerRecipe, scenes: Path, answers: Path | None, start: int) -> None:
        self.recipe, self.scenes, self.answers, self.start = recipe, scenes, answers, start

    def __iter__(self) -> Iterator[Windows]:
        """Yield the batches from `start` on; with several workers, each yields its share."""
        info = torch.utils.data.get_worker_info()
        worker, workers = (info.id, info.num_workers) if info else (0, 1)
        cv2.setNumThreads(1)
        for step in range(self.start + worker, self.recipe.steps, workers):
            rng = np.random.default_rng([self.recipe.seed, step])
            numbers = (self.recipe.scene_number(rng) for _ in iter(int, 1))
            yield scene_windows(rng, self.recipe, self.scenes, self.answers, numbers)


def scene_windows(
    rng: Generator, recipe: RefinerRecipe, scenes: Path, answers: Path | None, numbers: Iterator[int]
) -> Windows:
    """Return a batch of `recipe.windows` windows, each of one of the scenes of these numbers."""
    made: list[Windows] = []
    while len(made) < recipe.windows:
        number = next(numbers)
        scene = load_scene(scenes, number)
        window = make_window(
            rng,
            recipe,
            scene.image,
            scene.masks,
            lambda square, number=number: load_answers(answers, number, square) if answers else {},  # type: ignore[misc]
            photometric,
        )
        if window is not None:
            made.append(window)
    return Windows.joined(made)
