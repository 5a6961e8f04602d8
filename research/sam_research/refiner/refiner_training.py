"""Runs the training of the refiner: scenes, answers of `nano`, two stages, a log, held-out curves, and the export."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from torch import Tensor

from sam_backend.arrays import BoolArray
from sam_backend.finetune.refiner.refiner_export import export_refiner
from sam_backend.segmenters import Embedding
from sam_backend.segmenters.correcting import Correcting
from sam_backend.segmenters.model_registry import load_segmenter
from sam_backend.segmenters.refiner.refiner import Refiner
from sam_evaluation.workers import worker_pool
from sam_research import training_log
from sam_research.nano_validation import HELD_OUT
from sam_research.refiner.chain_validation import curve
from sam_research.refiner.model_answers import save_answers
from sam_research.refiner.refiner_recipe import FIRST, SECOND, RefinerRecipe
from sam_research.refiner.refiner_trainer import RefinerTrainer
from sam_research.refiner.windows import WindowBatches
from sam_research.scenes.composition import COMPOSITIONS
from sam_research.scenes.regions import REGIONS
from sam_research.scenes.scene import SURFACES
from sam_research.scenes.scene_store import build_scenes, load_scene

ANSWERED = 400
"""Scenes of each kind on which `nano` answers, so that the refiner learns from masks that people really correct."""

_HELD_OUT_SCENES = 40
_CLICKS = 8
_OBJECTS = 3
_LEAST_AREA = 100
_LOG_EVERY = 20
_SAVE_EVERY = 180.0


@dataclass(frozen=True)
class RefinerFolders:
    """The folders of a training.

    Attributes
    ----------
    scenes : Path, the training scenes; missing ones are made.
    materials : Path, what scenes are composed from.
    out : Path, the checkpoints of both stages, the answers of `nano`, the log, and the ONNX files.
    """

    scenes: Path
    materials: Path
    out: Path


def train_and_export(
    folders: RefinerFolders, stages: Sequence[RefinerRecipe] = (FIRST, SECOND), *, answered: int = ANSWERED
) -> None:
    """Train in stages, each from the weights of the one before, and export; an interrupted training goes on."""
    numbers = sorted({number for recipe in stages for number in recipe.numbers()})
    build_scenes(folders.scenes, numbers, materials=folders.materials)
    kinds = (0, SURFACES, COMPOSITIONS, REGIONS)
    chosen = [number for kind in kinds for number in range(kind, kind + answered) if number in set(numbers)]
    _answer(folders, chosen)
    weights: dict[str, Tensor] | None = None
    for stage, recipe in enumerate(stages, 1):
        weights = _train(recipe, folders, stage, weights)
    assert weights is not None
    export_refiner(weights, folders.out)
    Console().print(f"Wrote the ONNX files into {folders.out}.", highlight=False)


def validate(folders: RefinerFolders, scenes: int = _HELD_OUT_SCENES) -> list[str]:
    """Return the curve of corrections in held-out scenes, a line each for a click and a box at the beginning."""
    kinds = (SURFACES, COMPOSITIONS, REGIONS)
    numbers = [kind + HELD_OUT + number for kind in kinds for number in range(scenes)]
    build_scenes(folders.scenes, numbers, materials=folders.materials)
    segmenter = Correcting(load_segmenter("nano", threads=1), Refiner(folders.out))
    images: list[tuple[Embedding, list[BoolArray]]] = []
    for number in numbers:
        scene = load_scene(folders.scenes, number)
        areas = scene.masks.sum((1, 2))
        usable = np.flatnonzero((areas >= _LEAST_AREA) & (areas < 0.6 * scene.masks[0].size))
        shown = np.random.default_rng(number).permutation(usable)[:_OBJECTS]
        images.append((segmenter.encode(scene.image), [scene.masks[index] for index in shown]))
    return [f"{start}: {curve(segmenter, images, start, _CLICKS)}" for start in ("click", "box")]


def _answer(folders: RefinerFolders, numbers: Sequence[int]) -> None:
    parts = [numbers[start::4] for start in range(4)]
    with worker_pool(None) as pool:
        for work in [pool.submit(save_answers, folders.out / "answers", folders.scenes, part) for part in parts]:
            work.result()


def _train(
    recipe: RefinerRecipe, folders: RefinerFolders, stage: int, start: dict[str, Tensor] | None
) -> dict[str, Tensor]:
    """Train one stage and return its averaged weights."""
    out = folders.out / f"stage-{stage}"
    trainer = RefinerTrainer(recipe, out, start)
    trainer.resume()
    batches = iter(
        torch.utils.data.DataLoader(
            WindowBatches(recipe, folders.scenes, folders.out / "answers", trainer.optimisation.step),
            batch_size=None,
            num_workers=1,
            prefetch_factor=6,
            collate_fn=lambda windows: windows,
        )
    )
    with _bar(stage, recipe.steps, trainer.optimisation.step) as shown:
        running: dict[str, float] = {}

        def after_step(result: dict[str, float]) -> bool:
            for name, value in result.items():
                running[name] = 0.97 * running.get(name, value) + 0.03 * value
            step = trainer.optimisation.step
            described = " ".join(f"{name} {value:.3f}" for name, value in sorted(running.items()))
            shown.update(shown.task_ids[0], completed=step, description=f"stage {stage} {described}")
            if step % _LOG_EVERY == 0:
                line = {"step": step, "seconds": round(trainer.optimisation.seconds), **running}
                training_log.append(out / training_log.STEPS, line)
            return False

        trainer.optimisation.run(
            lambda: trainer.take_step(next(batches)), after_step, trainer.save, save_every=_SAVE_EVERY
        )
    return trainer.optimisation.average.values


def _bar(stage: int, steps: int, done: int) -> Progress:
    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    progress = Progress(TextColumn("{task.description}"), *columns)
    progress.add_task(f"stage {stage}", total=steps, completed=done)
    return progress
