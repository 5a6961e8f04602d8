"""Runs a training: processes side by side, a live table, checkpoints, curves and pictures, calibration, export."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.distributed as distributed
from numpy.typing import NDArray
from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from torch import Tensor
from torch.multiprocessing.spawn import spawn

from sam_backend.finetune.trainable import TrainableModel, digest_of
from sam_backend.segmenters.entries import NANO
from sam_backend.segmenters.nano.architecture import IMAGE_SIZE, build_nano
from sam_evaluation.metrics import expected_calibration_error
from sam_research import training_log
from sam_research.batches import SceneBatches
from sam_research.iou_calibration import calibrate
from sam_research.materials.collection import library
from sam_research.nano_recipe import NanoRecipe
from sam_research.nano_trainer import Trainer, weights_of
from sam_research.nano_validation import PROMPTS, Answers, answers, load_held_out
from sam_research.scenes.composition import COMPOSITIONS
from sam_research.scenes.regions import REGIONS
from sam_research.scenes.scene import SURFACES
from sam_research.scenes.scene_store import build_scenes
from sam_research.training_pictures import CURVES, FAILURES, SAMPLES, worst, write_curves, write_samples

CHECKS = 20
"""How often a training is measured on held-out scenes."""

CHECKED_SCENES = 24
CALIBRATION_SCENES = 200

_LOG_EVERY = 15.0
_SHOWN = 8


@dataclass(frozen=True)
class Folders:
    """The folders that a training reads and writes.

    Attributes
    ----------
    scenes : Path, the training scenes; missing ones are made.
    out : Path, the checkpoint, from which an interrupted training continues, the logs and the pictures.
    materials : Path or None, what scenes are composed from; its digest becomes part of the recipe.
    start : Path or None, the training whose weights this one starts from; their digest becomes part of the recipe.
    """

    scenes: Path
    out: Path
    materials: Path | None = None
    start: Path | None = None


def train(
    recipe: NanoRecipe,
    folders: Folders,
    device: str = "cpu",
    save_every: float = 120.0,
    checked: int = CHECKED_SCENES,
) -> dict[str, Tensor]:
    """Train `nano` and return its averaged weights, mixed with the recipe's share of the starting weights.

    Parameters
    ----------
    recipe : NanoRecipe; with scenes and device it decides the weights.
    folders : Folders.
    device : str, "cpu" or "cuda".
    save_every : float, seconds between checkpoints.
    checked : int, the number of held-out scenes that it is measured on.
    """
    start = weights_of(folders.start) if folders.start else None
    if start is not None:
        recipe = replace(recipe, start=digest_of(start))
    if folders.materials is not None:
        recipe = replace(recipe, materials=library(folders.materials).digest)
    _build(recipe, folders)
    trainer = Trainer(recipe, folders.out, device=device)
    if trainer.resume():
        Console().print(f"Going on at step {trainer.step} of {recipe.steps}.")
    if trainer.step < recipe.steps:
        with tempfile.TemporaryDirectory() as meeting:
            arguments = (recipe, folders, device, save_every, checked, Path(meeting) / "replicas")
            spawn(_replica, arguments, nprocs=recipe.replicas)  # type: ignore[no-untyped-call]
        trainer.resume()
    weights = {name: value.cpu() for name, value in trainer.optimisation.average.values.items()}
    return weights if start is None else blend(start, weights, recipe.kept)


def blend(before: dict[str, Tensor], after: dict[str, Tensor], kept: float) -> dict[str, Tensor]:
    """Return `(1 - kept) * after + kept * before` for the weights of two trainings."""
    return {name: after[name].double().lerp(before[name].double(), kept).to(after[name].dtype) for name in after}


def train_and_export(recipe: NanoRecipe, folders: Folders, device: str = "cpu") -> None:
    """Train, calibrate, and write the files of `nano` and a picture of the worst answers into `folders.out`."""
    model = build_nano()
    model.load_state_dict(train(recipe, folders, device))
    scenes = load_held_out(recipe, CALIBRATION_SCENES, folders.scenes, folders.materials)
    answered = [result for result in (answers(model, scene) for scene in scenes) if result is not None]
    write_samples(worst(answered), folders.out / FAILURES)
    predicted, iou = _pairs(answered)
    slope, offset = calibrate(model, predicted, iou)
    TrainableModel(NANO.name, model, IMAGE_SIZE, clicked_pieces=True).write(folders.out)
    Console().print(
        f"Calibrated on {len(iou)} answers in {len(answered)} held-out scenes (log-odds x {slope:.3f} {offset:+.3f}). "
        f"Wrote the weights and the ONNX files into {folders.out}.",
        highlight=False,
    )


def _build(recipe: NanoRecipe, folders: Folders) -> None:
    counts = {
        0: recipe.scenes,
        SURFACES: recipe.surfaces,
        COMPOSITIONS: recipe.compositions,
        REGIONS: recipe.regions,
    }
    numbers = [first + number for first, count in counts.items() for number in range(count)]
    build_scenes(folders.scenes, numbers, materials=folders.materials)


def _replica(
    replica: int, recipe: NanoRecipe, folders: Folders, device: str, save_every: float, checked: int, meeting: Path
) -> None:
    """Train as one of several processes; the first one measures, shows, logs and saves."""
    distributed.init_process_group("gloo", f"file://{meeting}", rank=replica, world_size=recipe.replicas)
    start = weights_of(folders.start) if folders.start else None
    trainer = Trainer(recipe, folders.out, replica, start, device)
    trainer.resume()
    loader = torch.utils.data.DataLoader(
        SceneBatches(recipe, folders.scenes, trainer.step, replica), batch_size=None, num_workers=1, prefetch_factor=8
    )
    batches = iter(loader)
    with ExitStack() as stack:
        watch = None if replica else stack.enter_context(_Watch(trainer, folders, checked))

        def after_step(shown: dict[str, float]) -> bool:
            if watch is not None:
                watch.update(shown)
            return False

        trainer.optimisation.run(
            lambda: trainer.take_step(next(batches)),
            after_step,
            (lambda: None) if replica else trainer.save,
            save_every=save_every,
        )
    distributed.destroy_process_group()


class _Watch:
    """Shows, logs and draws the course of a training."""

    def __init__(self, trainer: Trainer, folders: Folders, checked: int) -> None:
        recipe = trainer.recipe
        self._trainer, self._out = trainer, folders.out
        self._scenes = load_held_out(recipe, checked, folders.scenes, folders.materials)
        self._checks = {round(recipe.steps * (check + 1) / CHECKS) for check in range(CHECKS)}
        self._running: dict[str, float] = {}
        self._logged = time.monotonic()
        columns = (BarColumn(), MofNCompleteColumn(), TextColumn("steps"), TimeElapsedColumn(), TimeRemainingColumn())
        self._bar = Progress(TextColumn("{task.description}"), *columns)
        self._task = self._bar.add_task("training", total=recipe.steps, completed=trainer.step)
        self._live = Live(self._table(), refresh_per_second=1)

    def __enter__(self) -> _Watch:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def update(self, shown: dict[str, float]) -> None:
        """Show and log the loss and the IoUs of a step."""
        trainer = self._trainer
        for name, value in shown.items():
            self._running[name] = 0.98 * self._running.get(name, value) + 0.02 * value
        described = " ".join(f"{name} {value:.3f}" for name, value in sorted(self._running.items()))
        size = trainer.recipe.stage(trainer.step - 1).size
        self._bar.update(self._task, completed=trainer.step, description=f"{size} px {described}")
        now = time.monotonic()
        is_check = trainer.step in self._checks
        if is_check or now - self._logged > _LOG_EVERY:
            self._logged = now
            line = {"step": trainer.step, "seconds": round(trainer.optimisation.seconds), **self._running}
            training_log.append(self._out / training_log.STEPS, line)
        if is_check:
            self._check()

    def _check(self) -> None:
        trainer = self._trainer
        with trainer.optimisation.averaged():
            results = (answers(trainer.model, scene) for scene in self._scenes)
            answered = [result for result in results if result is not None]
        predicted, iou = _pairs(answered)
        means = np.concatenate([result.iou for result in answered], 1).mean(1)
        line = {
            "step": self._trainer.step,
            "seconds": round(self._trainer.optimisation.seconds),
            **{prompt: round(float(mean), 4) for prompt, mean in zip(PROMPTS, means, strict=True)},
            "ece": round(expected_calibration_error(predicted, iou), 4),
        }
        training_log.append(self._out / training_log.CHECKS, line)
        checks = training_log.read(self._out / training_log.CHECKS)
        write_curves(training_log.read(self._out / training_log.STEPS), checks, self._out / CURVES)
        write_samples([(result, 0) for result in answered[:6]], self._out / SAMPLES)
        self._live.update(self._table())

    def _table(self) -> Group:
        title = f"Mean IoU on {len(self._scenes)} held-out scenes; curves and samples: {self._out}"
        table = Table("step", "minutes", *PROMPTS, "calibration error", title=title)
        for line in training_log.read(self._out / training_log.CHECKS)[-_SHOWN:]:
            values = (f"{line[name]:.3f}" for name in (*PROMPTS, "ece"))
            table.add_row(str(line["step"]), f"{line['seconds'] / 60:.0f}", *values)
        return Group(table, self._bar)


def _pairs(answered: Sequence[Answers]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return predicted and true IoU of all answers, flat."""
    predicted = np.concatenate([result.predicted.ravel() for result in answered])
    return predicted, np.concatenate([result.iou.ravel() for result in answered])
