"""The product's own fine-tuning on what the simulated annotator accepted, once for each number of images."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote

import numpy as np
from PIL import Image

from sam_backend.finetune.examples import TooFewMasksError
from sam_backend.finetune.progress import Progress
from sam_backend.finetune.recipe import Recipe
from sam_backend.finetune.run import Job, finetune
from sam_backend.finetune.versions import Version, Versions
from sam_backend.memory.features import AcceptedMask
from sam_backend.samples import Sample
from sam_backend.second_look import Focus
from sam_evaluation.datasets.registry import DatasetSpec
from sam_evaluation.simulation.journal import Tuned

_FORMAT = "masks"
_CHECKS = 5
"""Each costs as much as some steps, and a short training has few."""


@dataclass(frozen=True)
class Tuning:
    """How a model is tuned.

    Attributes
    ----------
    model : by name.
    recipe : how.
    focus : as the model serves.
    """

    model: str
    recipe: Recipe
    focus: Focus

    @classmethod
    def small(cls, model: str, recipe: Recipe, steps: int, seed: int, focus: Focus) -> Tuning:
        """Return a model's recipe cut to a number of steps."""
        return cls(model, replace(recipe, steps=steps, checks=_CHECKS, seed=seed), focus)


def tune(
    tuning: Tuning,
    images: int,
    accepted: Sequence[tuple[Sample, Sequence[AcceptedMask]]],
    folder: Path,
    versions: Versions,
    tell: Callable[[str], None],
) -> Tuned:
    """Tune the model that serves, and let the gate decide; killed at any moment and called again, it goes on.

    Parameters
    ----------
    tuning : how.
    images : how many were labelled, which names the training.
    accepted : images with what was accepted on them.
    folder : of trainings.
    versions : where the model's versions are.
    tell : told what is being done.
    """
    home = folder / f"{images:05d}"
    made = next((version for version in versions.all() if _is_of(version, home)), None)
    if made is None:
        try:
            write_masks(home, accepted)
            job = Job(DatasetSpec(_FORMAT, home), tuning.model, tuning.recipe, focus=tuning.focus)
            outcome = finetune(job, home / "work", versions, lambda progress: tell(_said(progress)))
        except TooFewMasksError as error:
            return Tuned(images, "", False, str(error))
        if outcome.version is None:
            return Tuned(images, "", False, outcome.verdict.reason)
        made = outcome.version
    elif made.passed:
        # Killed after it was made, perhaps before it was promoted.
        versions.promote(made.name)
    return Tuned(images, made.name, made.passed, made.reason)


def write_masks(folder: Path, accepted: Sequence[tuple[Sample, Sequence[AcceptedMask]]]) -> None:
    """Write images and what was accepted on them as a data set of the format `masks`, anew."""
    shutil.rmtree(folder / "images", ignore_errors=True)
    shutil.rmtree(folder / "masks", ignore_errors=True)
    labels = sorted({each.label for _, masks in accepted for each in masks})
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True)
    (folder / "classes.txt").write_text("".join(f"{place} {label}\n" for place, label in enumerate(labels, 1)), "utf-8")
    for sample, masks in accepted:
        painted = np.zeros(sample.image.shape[:2], np.uint16)
        for each in masks:
            painted[each.mask] = 1 + labels.index(each.label)
        # Quoted, for a name may hold folders. What an image is used for follows from its name, so it must stay.
        file = f"{quote(sample.name, safe='')}.png"
        Image.fromarray(sample.image).save(folder / "images" / file)
        Image.fromarray(painted).save(folder / "masks" / file)


def forget_masks(folder: Path, images: int) -> None:
    """Delete what a training that is done was made from."""
    shutil.rmtree(folder / f"{images:05d}", ignore_errors=True)


def _is_of(version: Version, home: Path) -> bool:
    """Whether a version was made from a folder, wherever it was then."""
    return Path(version.data.removeprefix(f"{_FORMAT}:").rpartition(", ")[0]).name == home.name


def _said(progress: Progress) -> str:
    return f"tuning, step {progress.step} of {progress.steps}" if progress.doing == "Training" else "tuning"
