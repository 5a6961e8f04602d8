"""From accepted masks to a version that serves or is kept beside: read, tune, export, judge, promote."""

from __future__ import annotations

import contextlib
import math
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from filelock import FileLock, Timeout

from sam_backend.errors import SamInspectError
from sam_backend.finetune import progress as progress_files
from sam_backend.finetune.curves import write_curves
from sam_backend.finetune.examples import Share, read_examples
from sam_backend.finetune.gate import Verdict, judge, measure
from sam_backend.finetune.progress import Progress
from sam_backend.finetune.recipe import Recipe
from sam_backend.finetune.trainable import load_trainable
from sam_backend.finetune.tuning import Tuner
from sam_backend.finetune.versions import Version, Versions
from sam_backend.second_look import Focus
from sam_backend.segmenters import WeightFolders
from sam_backend.segmenters.registry import load_segmenter
from sam_evaluation.datasets.registry import DatasetSpec
from sam_evaluation.requirements import Requirements

CURVES = "curves.png"

_SAVE_EVERY = 60.0
_TELL_EVERY = 1.0


@dataclass(frozen=True)
class Job:
    """What is to be done.

    Attributes
    ----------
    data : where the accepted masks are.
    model : that is tuned, from the version that serves now.
    recipe : how.
    limit : about this many images; None for all.
    requirements : of which nothing may get worse.
    focus : when models take a second look while they are judged, as they do when they serve.
    folders : WeightFolders, where files of weights are; None for those of the settings of this process.
    """

    data: DatasetSpec
    model: str
    recipe: Recipe
    limit: int | None = None
    requirements: Requirements | None = None
    focus: Focus = Focus.AUTO
    folders: WeightFolders | None = None


@dataclass(frozen=True)
class Outcome:
    """What came of it.

    Attributes
    ----------
    version : that was made; None where training found nothing better than what serves.
    verdict : of the gate.
    ended : why the training ended.
    """

    version: Version | None
    verdict: Verdict
    ended: str


Tell = Callable[[Progress], None]


def finetune(job: Job, work: Path, versions: Versions, tell: Tell = lambda progress: None) -> Outcome:
    """Tune a model, and promote it if the gate lets it through.

    Interrupted at any moment and started again with the same job, it goes on; what serves is touched by the promotion
    alone.

    Parameters
    ----------
    job : what is to be done.
    work : folder of this job's checkpoint and progress, kept until it is done.
    versions : where the model's versions are.
    tell : told of the progress every second or so.

    Raises
    ------
    SamInspectError
        If data or weights cannot be used, masks are too few, the disk is full, or the job runs already.
    """
    said = Progress(progress_files.RUNNING, "Starting", str(job.data.folder), job.model, os.getpid())

    def show(**changes: object) -> None:
        nonlocal said
        said = replace(said, **changes)  # type: ignore[arg-type]
        progress_files.write_progress(work, said)
        tell(said)

    try:
        work.mkdir(parents=True, exist_ok=True)
        with FileLock(work / ".lock", timeout=0):
            outcome = _finetune(job, work, versions, show)
            show(state=progress_files.FINISHED, doing="Done", seconds_left=None, result=_result(outcome))
    except Timeout:
        raise SamInspectError("This training is running already; sam-inspect serve shows it at /status.") from None
    except (SamInspectError, OSError) as error:
        sentence = str(error)
        if isinstance(error, OSError):
            sentence = f"{error.filename or work}: {error.strerror}. Make room, and start it again: it goes on."
        with contextlib.suppress(OSError):
            show(state=progress_files.FAILED, result=sentence)
        raise error if isinstance(error, SamInspectError) else SamInspectError(sentence) from error
    return outcome


def _finetune(job: Job, work: Path, versions: Versions, show: Callable[..., None]) -> Outcome:
    show(doing="Reading images and masks")
    examples = read_examples(job.data, job.limit)
    examples.require_enough()
    serving = versions.current(job.model)
    checkpoint = versions.checkpoint(job.model)
    start = load_trainable(job.model, checkpoint, job.folders)
    tuner = Tuner(start, examples, job.recipe, work)
    ended = _train(tuner, work, show)
    best = tuner.checks[_best(tuner)]
    write_curves(tuner.checks, _best(tuner), work / CURVES)
    if best.step == 0:
        _clear(work)
        reason = "No step was better on the validation images than the model that serves; nothing was made."
        return Outcome(None, Verdict(False, reason, {}), ended)
    show(doing="Exporting", seconds_left=None)
    tuner.use_best()
    with versions.staging(job.model) as folder:
        start.write(folder)
        shutil.copy(work / CURVES, folder / CURVES)
        names = examples.names[Share.HELD_OUT]
        recall = bool(job.requirements and job.requirements.recall)
        rows = []
        for what, weights in (("what serves", checkpoint), ("what was tuned", folder)):
            segmenter = load_segmenter(job.model, weights, focus=job.focus, folders=job.folders)
            rows.append(
                measure(
                    segmenter,
                    names,
                    examples.load,
                    everything=recall,
                    progress=lambda done, total, what=what: show(  # type: ignore[misc]
                        doing=f"Measuring {what}: {done} of {total} held-out images"
                    ),
                )
            )
        before, after = rows
        verdict = judge(before, after, job.requirements)
        described = f"{job.data.format}:{job.data.folder}" + (f"@{job.data.split}" if job.data.split else "")
        version = versions.add(
            Version(
                "",
                job.model,
                segmenter.version,
                serving,
                data=f"{described}, {examples.masks[Share.TRAINING]} masks",
                reason=verdict.reason,
                passed=verdict.passed,
                metrics=verdict.metrics,
            ),
            folder,
        )
    if verdict.passed:
        versions.promote(version.name)
    _clear(work)
    return Outcome(version, verdict, ended)


def _train(tuner: Tuner, work: Path, show: Callable[..., None]) -> str:
    """Train to the end, and tell why it ended."""
    recipe = tuner.recipe
    began = f"Going on at step {tuner.state.step}" if tuner.resume() else "Training"
    show(doing=began, steps=recipe.steps, step=tuner.state.step)
    if not tuner.checks:
        _check(tuner, show)
    saved = told = time.monotonic()
    while tuner.state.step < recipe.steps and not tuner.is_idle():
        started = time.monotonic()
        loss = tuner.take_step()
        if not math.isfinite(loss):
            return (
                f"The loss became {loss} after step {tuner.state.step}, so it ended; the best weights before, of step "
                f"{tuner.checks[_best(tuner)].step}, were kept."
            )
        now = time.monotonic()
        tuner.state.seconds += now - started
        if recipe.is_check(tuner.state.step):
            _check(tuner, show)
            write_curves(tuner.checks, _best(tuner), work / CURVES)
            tuner.save()
            saved = now
        if now - saved > _SAVE_EVERY:
            tuner.save()
            saved = now
        if now - told > _TELL_EVERY:
            told = now
            left = tuner.state.seconds / tuner.state.step * (recipe.steps - tuner.state.step)
            show(doing="Training", step=tuner.state.step, seconds_left=round(left))
    tuner.save()
    if tuner.state.step < recipe.steps:
        return f"Nothing got better in {recipe.patience} checks, so it ended early, after step {tuner.state.step}."
    return f"All {recipe.steps} steps were done."


def _check(tuner: Tuner, show: Callable[..., None]) -> None:
    check = tuner.check()
    show(step=check.step, box=round(check.box, 4), click=round(check.click, 4))


def _best(tuner: Tuner) -> int:
    scores = [check.score for check in tuner.checks]
    return scores.index(max(scores))


def _result(outcome: Outcome) -> str:
    if outcome.version is None:
        return outcome.verdict.reason
    what = "was promoted" if outcome.verdict.passed else "is kept beside, not promoted"
    return f"{outcome.version.name} {what}. {outcome.verdict.reason} {outcome.ended}"


def _clear(work: Path) -> None:
    """Delete what only an unfinished training needs."""
    shutil.rmtree(work / "embeddings", ignore_errors=True)
    (work / "checkpoint.pt").unlink(missing_ok=True)
