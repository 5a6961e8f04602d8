"""What the trainings of a project's parts, its proposer and its refiner, share: the end, and the report of steps."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from sam_backend.finetune.gate_decisions import keep_decision
from sam_backend.finetune.training_run import TrainingRun
from sam_backend.finetune.training_status import FINISHED
from sam_backend.finetune.verdict import Verdict
from sam_backend.finetune.versions import Version, Versions

_REPORT_EVERY = 1.0


@dataclass(frozen=True)
class PartOutcome:
    """The result of a training.

    Attributes
    ----------
    version : Version or None, the version that serves now; None if the gate did not pass it.
    verdict : Verdict of the gate.
    what : str, what the part does, for example "proposes masks".
    """

    version: Version | None
    verdict: Verdict
    what: str

    @property
    def sentence(self) -> str:
        """What serves from now on and why, for people."""
        serves = f"{self.version.name} {self.what} from now on." if self.version else f"What {self.what} now goes on."
        return f"{serves} {self.verdict.reason}"


def end(outcome: PartOutcome, run: TrainingRun, versions: Versions) -> PartOutcome:
    """Let the version of an outcome serve, if there is one, end the run, and return the outcome."""
    if outcome.version is not None:
        versions.promote(outcome.version.name)
    keep_decision(versions, run.status.model, run.status.data, outcome.version, outcome.verdict)
    run.show(state=FINISHED, doing="Done", seconds_left=None, result=outcome.sentence)
    return outcome


def step_reporter(show: Callable[..., None]) -> Callable[[int, int, str], None]:
    """Return a function of the steps done, all steps, and the current work, which reports them about every second."""
    started = reported = time.monotonic()
    before: int | None = None

    def report(step: int, steps: int, doing: str) -> None:
        nonlocal reported, before
        # A training that goes on begins with a later step.
        before = step - 1 if before is None else before
        if time.monotonic() - reported > _REPORT_EVERY or step == steps:
            reported = time.monotonic()
            left = (reported - started) / (step - before) * (steps - step)
            show(doing=doing, step=step, steps=steps, seconds_left=round(left))

    return report
