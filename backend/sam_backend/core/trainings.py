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

from sam_backend.errors import MissingExtraError
from sam_backend.extras import require_training
from sam_backend.finetune.training_status import FAILED, RUNNING, TrainingStatus, latest_status
from sam_backend.segmenters.model_registry import known_models
from sam_backend.settings import Settings

logger = logging.getLogger(__name__)

_LOG = "log.txt"

_NICE = 10
"""Niceness of a training, so that the service has priority."""


class Trainings:
    """Starts trainings, one at a time, and reports the progress of the latest one.

    Parameters
    ----------
    settings : Settings, those of the service; a training uses the same folders.
    model : str, the name of the served model, which is the one to tune.
    """

    def __init__(self, settings: Settings, model: str) -> None:
        self._settings = settings
        self._model = model
        self._folder = settings.home / "finetune"
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    def start(self, project: str) -> tuple[bool, str]:
        """Start a training on a project's accepted masks; return whether it was started, and a message about it.

        Parameters
        ----------
        project : str, the project's uid, `<project id>.<Unix time of its creation>`, or its id.
        """
        if self._model not in {info.name for info in known_models() if info.is_trainable}:
            return False, f"{self._model} cannot be trained."
        # nano is served without PyTorch, but not trained without it.
        try:
            require_training("Training")
        except MissingExtraError as error:
            return False, str(error)
        with self._lock:
            latest = self.latest()
            if self._is_running() or (latest and latest.state == RUNNING):
                return False, f"A training is running already; it goes on. Its log is {self._folder / _LOG}."
            self._process = self._start_process(project)
        logger.info("Training %s on project %s in process %d", self._model, project, self._process.pid)
        return True, f"A training was started in a process of its own. Its log is {self._folder / _LOG}."

    def latest(self) -> TrainingStatus | None:
        """Return the progress of the latest training; None if there was none."""
        latest, process = latest_status(self._folder), self._process
        if process is None or (latest and latest.process == process.pid):
            return latest
        # The process has not written its own progress yet.
        started = TrainingStatus(RUNNING, "Reading the project", model=self._model, process=process.pid)
        if process.poll() is None:
            return started
        log = (self._folder / _LOG).read_text(encoding="utf-8", errors="replace").strip()
        return replace(started, state=FAILED, doing="", result=log.rpartition("\n")[2])

    def _is_running(self) -> bool:
        """Return whether the process that this object started still runs."""
        return self._process is not None and self._process.poll() is None

    def _start_process(self, project: str) -> subprocess.Popen[bytes]:
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / _LOG).open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "sam_inspect", "finetune", "--project", project, "--model", self._model],
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
