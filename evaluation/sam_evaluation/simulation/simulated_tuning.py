"""The product's own fine-tuning on the masks that the simulated annotator accepted."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote

import numpy as np
from PIL import Image

from sam_backend.finetune.examples import TooFewMasksError
from sam_backend.finetune.training_status import TrainingStatus
from sam_backend.finetune.tuning_job import TuningJob, finetune
from sam_backend.finetune.tuning_recipe import TuningRecipe
from sam_backend.finetune.versions import Version, Versions
from sam_backend.memory.features import AcceptedMask
from sam_backend.progress import ProgressCallback
from sam_backend.samples import Sample
from sam_backend.second_look import Focus
from sam_backend.segmenters import WeightFolders
from sam_evaluation.datasets.registry import DatasetSpec
from sam_evaluation.promotion_gate import PromotionGate
from sam_evaluation.simulation.journal import ModelTuned

_FORMAT = "masks"
_CHECKS = 5
"""Validations of a training; each costs as much as several steps, and a short training has few steps."""


@dataclass(frozen=True)
class TuningSettings:
    """How a model is tuned.

    Attributes
    ----------
    model : name of the model.
    recipe : TuningRecipe of the training.
    focus : Focus of the serving model.
    weights : WeightFolders; None for those of the settings of this process.
    """

    model: str
    recipe: TuningRecipe
    focus: Focus
    weights: WeightFolders | None = None

    @classmethod
    def small(
        cls, model: str, recipe: TuningRecipe, steps: int, seed: int, focus: Focus, weights: WeightFolders | None = None
    ) -> TuningSettings:
        """Shorten a model's recipe to a number of steps."""
        return cls(model, replace(recipe, steps=steps, checks=_CHECKS, seed=seed), focus, weights)


def tune(
    tuning: TuningSettings,
    images: int,
    accepted: Sequence[tuple[Sample, Sequence[AcceptedMask]]],
    folder: Path,
    versions: Versions,
    progress: ProgressCallback,
) -> ModelTuned:
    """Tune the model that serves, and let the gate decide; a killed training goes on when this is called again.

    Parameters
    ----------
    tuning : TuningSettings.
    images : number of labelled images; it names the training.
    accepted : samples with their accepted masks.
    folder : Path of the folder of all trainings of the run.
    versions : Versions of the model.
    progress : ProgressCallback, called with the steps done, all steps, and the current work.
    """
    home = folder / f"{images:05d}"
    made = next((version for version in versions.all() if _is_of(version, home)), None)
    if made is None:
        try:
            write_masks(home, accepted)
            source, data = DatasetSpec(_FORMAT, home).open(), f"{_FORMAT}:{home}"
            job = TuningJob(
                source,
                data,
                tuning.model,
                tuning.recipe,
                PromotionGate(),
                focus=tuning.focus,
                folders=tuning.weights,
            )
            outcome = finetune(
                job, home / "work", versions, lambda status: progress(status.step, status.steps, _describe(status))
            )
        except TooFewMasksError as error:
            return ModelTuned(images, "", False, str(error))
        if outcome.version is None:
            return ModelTuned(images, "", False, outcome.verdict.reason)
        made = outcome.version
    elif made.passed:
        # The run was killed after the version was made, perhaps before it was promoted.
        versions.promote(made.name)
    return ModelTuned(images, made.name, made.passed, made.reason)


def write_masks(folder: Path, accepted: Sequence[tuple[Sample, Sequence[AcceptedMask]]]) -> None:
    """Write samples and their accepted masks as a data set of the format `masks`; replace what is there."""
    shutil.rmtree(folder / "images", ignore_errors=True)
    shutil.rmtree(folder / "masks", ignore_errors=True)
    labels = sorted({mask.label for _, masks in accepted for mask in masks})
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True)
    lines = [f"{number} {label}\n" for number, label in enumerate(labels, 1)]
    (folder / "classes.txt").write_text("".join(lines), "utf-8")
    for sample, masks in accepted:
        label_map = np.zeros(sample.image.shape[:2], np.uint16)
        for mask in masks:
            label_map[mask.mask] = 1 + labels.index(mask.label)
        # Quoted, because a name may hold folders. The name decides how training uses the image, so it must not change.
        file = f"{quote(sample.name, safe='')}.png"
        Image.fromarray(sample.image).save(folder / "images" / file)
        Image.fromarray(label_map).save(folder / "masks" / file)


def delete_masks(folder: Path, images: int) -> None:
    """Delete the data set of a finished training."""
    shutil.rmtree(folder / f"{images:05d}", ignore_errors=True)


def _is_of(version: Version, home: Path) -> bool:
    """Whether a version was made from the data set in a folder, even if the folder was moved since."""
    return Path(version.data.removeprefix(f"{_FORMAT}:").rpartition(", ")[0]).name == home.name


def _describe(status: TrainingStatus) -> str:
    return f"tuning, step {status.step} of {status.steps}" if status.doing == "Training" else "tuning"
