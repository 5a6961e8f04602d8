"""From accepted masks to a version that serves or is kept beside: read, tune, export, judge, promote."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sam_backend.errors import SamInspectError
from sam_backend.finetune.examples import SampleSource, Split, read_examples
from sam_backend.finetune.gate_decisions import keep_decision
from sam_backend.finetune.served_version import LoadWeights, load_served, require_answer
from sam_backend.finetune.trainable import load_trainable
from sam_backend.finetune.training_loop import NonFiniteLossError
from sam_backend.finetune.training_run import TrainingRun, open_run
from sam_backend.finetune.training_status import FINISHED, TrainingStatus
from sam_backend.finetune.tuner import CHECKPOINT, EMBEDDINGS, Tuner
from sam_backend.finetune.tuning_curves import write_curves
from sam_backend.finetune.tuning_recipe import TuningRecipe
from sam_backend.finetune.verdict import Gate, Verdict
from sam_backend.finetune.versions import Version, Versions
from sam_backend.second_look import Focus
from sam_backend.segmenters import Segmenter, WeightFolders
from sam_backend.segmenters.model_registry import load_segmenter

CURVES = "curves.png"

_REPORT_EVERY = 1.0


@dataclass(frozen=True)
class TuningJob:
    """A fine-tuning to be done.

    Attributes
    ----------
    source : SampleSource, the accepted masks.
    data : str, what users call this data, for example "masks:./parts".
    model : str, the model that is tuned, from the version that serves now.
    recipe : TuningRecipe.
    gate : Gate, which decides whether the result may serve.
    limit : int or None, about this many images; None for all.
    focus : Focus, when the models take a second look while they are judged, as when they serve.
    folders : WeightFolders, where files of weights are; None for those of the settings of this process.
    """

    source: SampleSource
    data: str
    model: str
    recipe: TuningRecipe
    gate: Gate[Segmenter]
    limit: int | None = None
    focus: Focus = Focus.AUTO
    folders: WeightFolders | None = None


@dataclass(frozen=True)
class TuningOutcome:
    """The result of a fine-tuning.

    Attributes
    ----------
    version : Version or None, the new version; None if no step was better than the serving model.
    verdict : Verdict of the gate.
    ended : str, why the training ended.
    """

    version: Version | None
    verdict: Verdict
    ended: str


def finetune(
    job: TuningJob, work: Path, versions: Versions, report: Callable[[TrainingStatus], None] = lambda status: None
) -> TuningOutcome:
    """Tune a model, and promote it if it passes the gate.

    If it is interrupted and started again with the same job, it continues. Only the promotion changes what serves.

    Parameters
    ----------
    job : TuningJob.
    work : Path, the folder of this job's checkpoint and status.
    versions : Versions of the model.
    report : function, called with the status about every second.

    Raises
    ------
    SamInspectError
        If data or weights cannot be used, masks are too few or too small, the disk is full, or the job runs already.
        After an unforeseen error, which it names, the next start starts again.
    """
    with open_run(work, job.data, job.model, report) as run:
        return tune(job, run, versions)


def tune(job: TuningJob, run: TrainingRun, versions: Versions) -> TuningOutcome:
    """Do a fine-tuning inside a run that is open already; see `finetune`."""
    try:
        outcome = _tune(job, run.work, versions, run.show)
    except (SamInspectError, OSError, MemoryError):
        raise
    except Exception:
        # What is kept may be the cause, so the next start begins without it.
        _clear(run.work)
        raise
    keep_decision(versions, job.model, job.data, outcome.version, outcome.verdict)
    run.show(state=FINISHED, doing="Done", seconds_left=None, result=_sentence(outcome))
    return outcome


def _tune(job: TuningJob, work: Path, versions: Versions, show: Callable[..., None]) -> TuningOutcome:
    show(doing="Reading images and masks")
    examples = read_examples(job.source, job.limit)
    examples.require_enough(job.gate.fewest_images)
    load: LoadWeights = lambda folder: load_segmenter(job.model, folder, focus=job.focus, folders=job.folders)  # noqa: E731
    served = load_served(versions, job.model, load)
    trainable = load_trainable(job.model, served.folder, job.folders)
    tuner = Tuner(trainable, examples, job.recipe, work)
    ended = _train(tuner, work, show)
    write_curves(tuner.checks, tuner.best_check, work / CURVES)
    if tuner.checks[tuner.best_check].step == 0:
        _clear(work)
        reason = "No step was better on the validation images than the model that serves; nothing was made."
        return TuningOutcome(None, Verdict(False, reason, {}), ended)
    show(doing="Exporting", seconds_left=None)
    tuner.use_best()
    with versions.staging(job.model) as folder:
        trainable.write(folder)
        shutil.copy(work / CURVES, folder / CURVES)
        candidate = load(folder)
        require_answer(candidate, "The tuned model")
        verdict = job.gate(
            served.segmenter,
            candidate,
            examples.names[Split.HELD_OUT],
            examples.load,
            lambda done, total, doing="": show(doing=f"{doing}: {done} of {total} held-out images"),
        )
        version = versions.add(
            Version(
                "",
                job.model,
                candidate.version,
                served.name,
                data=f"{job.data}, {examples.masks[Split.TRAINING]} masks",
                reason=verdict.reason,
                passed=verdict.passed,
                metrics=verdict.metrics,
            ),
            folder,
        )
    if verdict.passed:
        versions.promote(version.name)
    _clear(work)
    return TuningOutcome(version, verdict, ended)


def _train(tuner: Tuner, work: Path, show: Callable[..., None]) -> str:
    """Train to the end, and return a sentence that says why it ended."""
    recipe = tuner.recipe
    doing = f"Going on at step {tuner.step}" if tuner.resume() else "Training"
    show(doing=doing, steps=recipe.steps, step=tuner.step)
    if not tuner.checks:
        _check(tuner, show)
    reported = time.monotonic()

    def after_step() -> bool:
        nonlocal reported
        is_check = recipe.is_check(tuner.step)
        if is_check:
            _check(tuner, show)
            write_curves(tuner.checks, tuner.best_check, work / CURVES)
        if time.monotonic() - reported > _REPORT_EVERY:
            reported = time.monotonic()
            left = tuner.optimisation.seconds / tuner.step * (recipe.steps - tuner.step)
            show(doing="Training", step=tuner.step, seconds_left=round(left))
        return is_check

    try:
        tuner.run(after_step)
    except NonFiniteLossError as error:
        return (
            f"The loss became {error.loss} after step {tuner.step}, so it ended; the best weights before, of step "
            f"{tuner.checks[tuner.best_check].step}, were kept."
        )
    if tuner.step < recipe.steps:
        return f"Nothing got better in {recipe.patience} checks, so it ended early, after step {tuner.step}."
    return f"All {recipe.steps} steps were done."


def _check(tuner: Tuner, show: Callable[..., None]) -> None:
    check = tuner.check()
    show(step=check.step, box=round(check.box, 4), click=round(check.click, 4))


def _sentence(outcome: TuningOutcome) -> str:
    if outcome.version is None:
        return outcome.verdict.reason
    what = "was promoted" if outcome.verdict.passed else "is kept beside, not promoted"
    return f"{outcome.version.name} {what}. {outcome.verdict.reason} {outcome.ended}"


def _clear(work: Path) -> None:
    """Delete what only an unfinished training needs."""
    shutil.rmtree(work / EMBEDDINGS, ignore_errors=True)
    (work / CHECKPOINT).unlink(missing_ok=True)
