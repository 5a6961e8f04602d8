"""Trainings that Label Studio starts; each runs in a process of its own, beside the service."""

from __future__ import annotations

import contextlib
import logging
import os
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

from sam_backend.errors import SamInspectError
from sam_backend.extras import require_training
from sam_backend.files import make_folder, try_lock
from sam_backend.finetune.os_errors import os_error_sentence
from sam_backend.finetune.training_status import FAILED, RUNNING, TRAININGS, TrainingStatus, last_written, latest_status
from sam_backend.finetune.tunable_models import require_features, require_refined, require_tunable
from sam_backend.settings import Settings

logger = logging.getLogger(__name__)

_LOG = "log.txt"

_LOG_TAIL = 10_000
"""Bytes at the end of the log in which its last line is searched."""

_NICE = 10
"""Niceness of a training, so that the service has priority."""


class Trainings:
    """Starts trainings, one at a time on a home folder, and reports the progress of the latest one.

    Parameters
    ----------
    settings : Settings, those of the service; a training uses the same folders.
    model : str, the name of the served model, which is the one to tune.
    checkpoint : Path or None, the weights that are served instead of the promoted ones; then no training is started,
        because its result would never be served.
    """

    def __init__(self, settings: Settings, model: str, checkpoint: Path | None = None) -> None:
        self._settings = settings
        self._model = model
        self._checkpoint = checkpoint
        self._folder = settings.home / TRAININGS
        self._process: subprocess.Popen[bytes] | None = None
        self._written_before = 0
        """When any training had last written its status before this object started its process."""
        self._lock = threading.Lock()

    def start(self, project: str) -> tuple[bool, str]:
        """Start a training on a project's accepted masks; return whether it was started, and a message about it.

        Parameters
        ----------
        project : str, the project's uid, `<project id>.<Unix time of its creation>`, or its id.
        """
        if self._checkpoint is not None:
            return False, (
                f"This server serves {self._checkpoint}, given with --checkpoint, and follows no promotions: a "
                "training would start from other weights, and its result would not be served here. Restart "
                "sam-inspect serve without --checkpoint, then train."
            )
        try:
            require_tunable(self._model)
        except SamInspectError as error:
            return False, str(error)
        return self._start("finetune", "--proposer", "--refiner", "--project", project)

    def start_proposer(self, project: str) -> tuple[bool, str]:
        """Start the training of a project's proposer alone; see `start`."""
        try:
            require_features(self._model)
        except SamInspectError as error:
            return False, str(error)
        return self._start("train-proposer", "--project", project)

    def start_refiner(self, project: str) -> tuple[bool, str]:
        """Start the tuning of a project's refiner alone; see `start`."""
        try:
            require_refined(self._model)
        except SamInspectError as error:
            return False, str(error)
        return self._start("tune-refiner", "--project", project)

    def _start(self, *command: str) -> tuple[bool, str]:
        try:
            # nano is served without PyTorch, but not trained without it.
            require_training("Training")
        except SamInspectError as error:
            return False, str(error)
        with self._lock:
            latest = self.latest()
            try:
                process = None if latest and latest.state == RUNNING else self._start_process(command)
            except OSError as error:
                return False, f"The training cannot be started: {os_error_sentence(error, self._folder)}"
            if process is None:
                return False, f"A training is running already; it goes on. Its log is {self._folder / _LOG}."
            self._process = process
        logger.info("Process %d runs sam-inspect %s", process.pid, " ".join(command))
        return True, f"A training was started in a process of its own. Its log is {self._folder / _LOG}."

    def latest(self) -> TrainingStatus | None:
        """Return the status of the training that runs, whichever process started it, or of the latest; None if none."""
        process, ended = self._process, self._process is None or self._process.poll() is not None
        latest = latest_status(self._folder)
        if process is None or (latest and latest.state == RUNNING):
            return latest
        started = TrainingStatus(RUNNING, "Reading the project", model=self._model, process=process.pid)
        if not ended:
            return started
        if last_written(self._folder) != self._written_before:
            return latest
        return replace(started, state=FAILED, doing="", result=self._last_line_of_log())

    def _last_line_of_log(self) -> str:
        try:
            with (self._folder / _LOG).open("rb") as file:
                file.seek(max(file.seek(0, os.SEEK_END) - _LOG_TAIL, 0))
                line = file.read().decode("utf-8", "replace").strip().rpartition("\n")[2]
        except OSError:
            line = ""
        return line or f"The training ended before it began. Its log is {self._folder / _LOG}."

    def _start_process(self, command: tuple[str, ...]) -> subprocess.Popen[bytes] | None:
        """Start a training; return None if one runs that another server on this home folder has started."""
        make_folder(self._folder)
        with (self._folder / _LOG).open("ab") as log:
            # The process has it open as long as it lives, from before it can write its status.
            if not try_lock(log.fileno()):
                return None
            self._written_before = last_written(self._folder)
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "sam_inspect", *command, "--model", self._model],
                env=self._settings.environment_of_child(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # A training goes on when the service is stopped.
                start_new_session=True,
            )
        _lower_priority(process.pid)
        return process


def _lower_priority(process: int) -> None:
    """Give a process, which leads a session of its own, a lower priority than the service."""
    if hasattr(os, "setpriority"):
        os.setpriority(os.PRIO_PROCESS, process, _NICE)
    # Where Linux groups processes by session, the niceness of a process counts only within its session.
    with contextlib.suppress(OSError):
        Path(f"/proc/{process}/autogroup").write_text(str(_NICE))
