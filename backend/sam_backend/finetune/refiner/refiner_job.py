"""From accepted masks to a project's own refiner: read, tune, export, judge, promote."""

from __future__ import annotations

import shutil
from dataclasses import dataclass

import torch

from sam_backend.finetune.examples import SampleSource, Split, read_examples
from sam_backend.finetune.part_training import PartOutcome, end, step_reporter
from sam_backend.finetune.refiner.head_recipe import HeadRecipe
from sam_backend.finetune.refiner.head_tuner import HeadTuner
from sam_backend.finetune.refiner.refiner_export import export_head, load_head
from sam_backend.finetune.training_run import TrainingRun
from sam_backend.finetune.verdict import Gate
from sam_backend.finetune.versions import SHIPPED, Version, Versions
from sam_backend.segmenters import Segmenter
from sam_backend.segmenters.correcting import Correcting
from sam_backend.segmenters.refiner.refiner import BACKBONE, Refiner

_CORRECTS = "corrects masks"

_JUDGED = 60
"""Held-out images that are judged at most: each costs about a second."""


@dataclass(frozen=True)
class RefinerJob:
    """A tuning of a refiner to be done.

    Attributes
    ----------
    source : SampleSource, the accepted masks.
    model : str, the name of the project's refiner among the versions, "refiner:<project>".
    data : str, what users call this data.
    recipe : HeadRecipe.
    gate : Gate, which compares served corrections and decides whether the result may serve.
    segmenter : Correcting, the model that serves, whose answers are corrected, with the refiner that ships.
    limit : int or None, about this many images; None for all.
    """

    source: SampleSource
    model: str
    data: str
    recipe: HeadRecipe
    gate: Gate[Segmenter]
    segmenter: Correcting
    limit: int | None = None


def tune_refiner(job: RefinerJob, run: TrainingRun, versions: Versions) -> PartOutcome:
    """Tune a refiner inside an open run, and let it serve if it passes the gate.

    It goes on from what serves, or from what ships if that has another backbone by now. It takes a minute or two, so
    that an interrupted one begins again. A version is kept only if it passes.

    Parameters
    ----------
    job : RefinerJob.
    run : TrainingRun.
    versions : Versions of the refiner.

    Raises
    ------
    TooFewMasksError
        If there are too few images; the message says how many more are needed.
    SamInspectError
        If the data cannot be read, or a loss is not finite.
    OSError
        If the disk is full, for example.
    """
    run.show(doing="Reading images and masks")
    examples = read_examples(job.source, job.limit)
    examples.require_enough(job.gate.fewest_images)
    serving, shipped = versions.serving(job.model), job.segmenter.refiner
    present = shipped if serving.folder is None else Refiner(serving.folder, beside=shipped)
    start = present if present.has_backbone_of(shipped) else shipped
    # A service beside it needs the other cores.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        run.show(doing="Tuning the refiner")
        head = load_head(start.folder)
        tuner = HeadTuner(head, start, examples, job.segmenter, job.recipe)
        report = step_reporter(run.show)
        tuner.run(lambda step, steps, loss: report(step, steps, f"Tuning the refiner, loss {loss:.2f}"))
    finally:
        torch.set_num_threads(threads)
    run.show(doing="Exporting", seconds_left=None)
    with versions.staging(job.model) as folder:
        export_head(head, folder)
        shutil.copyfile(start.folder / BACKBONE, folder / BACKBONE)
        tuned = Refiner(folder, beside=shipped)
        names = examples.names[Split.HELD_OUT]
        verdict = job.gate(
            job.segmenter.with_refiner(present),
            job.segmenter.with_refiner(tuned),
            names[:: -(-len(names) // _JUDGED)],
            examples.load,
            lambda done, total, doing="": run.show(doing=f"{doing}: {done} of {total} held-out images"),
        )
        version = None
        if verdict.passed:
            about = Version(
                "",
                job.model,
                f"refiner-{tuned.version}",
                serving.name if start is present else SHIPPED,
                data=f"{job.data}, {examples.masks[Split.TRAINING] + examples.masks[Split.VALIDATION]} masks",
                reason=verdict.reason,
                passed=True,
                metrics=verdict.metrics,
            )
            version = versions.add(about, folder)
    return end(PartOutcome(version, verdict, _CORRECTS), run, versions)
