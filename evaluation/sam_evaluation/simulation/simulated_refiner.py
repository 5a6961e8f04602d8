"""The product's own tuning of the refiner on the masks that the simulated annotator accepted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sam_backend.finetune.examples import TooFewMasksError
from sam_backend.finetune.refiner.head_recipe import HeadRecipe
from sam_backend.finetune.refiner.names import SIMULATED
from sam_backend.finetune.refiner.refiner_job import RefinerJob, tune_refiner
from sam_backend.finetune.training_run import open_run
from sam_backend.finetune.versions import Versions
from sam_backend.memory.features import AcceptedMask
from sam_backend.progress import ProgressCallback
from sam_backend.samples import Object, Sample
from sam_backend.segmenters.correcting import Correcting
from sam_evaluation.promotion_gate import CORRECTIONS, PromotionGate
from sam_evaluation.simulation.journal import RefinerTuned


@dataclass(frozen=True)
class AcceptedSamples:
    """The images of a run with the masks that were accepted on them, as a source to learn from.

    Attributes
    ----------
    images : function that reads an image by its name.
    masks : mapping, image name -> accepted masks.
    """

    images: Callable[[str], Sample]
    masks: Mapping[str, Sequence[AcceptedMask]]

    def names(self) -> Sequence[str]:
        """Return the names of the images."""
        return list(self.masks)

    def load(self, name: str) -> Sample:
        """Return an image with its accepted masks as objects."""
        objects = tuple(Object(accepted.mask, accepted.label) for accepted in self.masks[name] if accepted.mask.any())
        return Sample(name, self.images(name).image, objects)


def tune(
    segmenter: Correcting,
    images: int,
    accepted: AcceptedSamples,
    folder: Path,
    versions: Versions,
    seed: int,
    progress: ProgressCallback,
) -> RefinerTuned:
    """Tune the refiner, and let the gate decide; after a kill, a version that was made is used.

    Parameters
    ----------
    segmenter : Correcting, the model that serves, with the refiner that ships.
    images : number of labelled images; it names the tuning.
    accepted : AcceptedSamples.
    folder : Path of the folder of all trainings of the run.
    versions : Versions.
    seed : int.
    progress : ProgressCallback, called with the steps done, all steps, and the current work.
    """
    data = f"the first {images} images"
    made = next((one for one in versions.all() if one.model == SIMULATED and one.data.startswith(f"{data},")), None)
    if made is not None:
        versions.promote(made.name)
        return RefinerTuned(images, made.name, True, made.reason)
    gate = PromotionGate(protocols=CORRECTIONS)
    job = RefinerJob(accepted, SIMULATED, data, HeadRecipe(seed=seed), gate, segmenter)
    work = folder / f"refiner-{images:05d}"
    try:
        with open_run(work, data, SIMULATED, lambda status: progress(status.step, status.steps, "tuning")) as run:
            outcome = tune_refiner(job, run, versions)
    except TooFewMasksError as error:
        return RefinerTuned(images, "", False, str(error))
    name = outcome.version.name if outcome.version else ""
    return RefinerTuned(images, name, outcome.verdict.passed, outcome.verdict.reason)
