"""Trainings that Label Studio asks for: each a process of its own, beside the service."""

from __future__ import annotations

import contextlib
import logging
import os
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

from sam_backend.finetune.progress import FAILED, RUNNING, Progress, latest_progress
from sam_backend.segmenters.entries import TORCH_EXTRA, TORCH_PACKAGES
from sam_backend.segmenters.model_info import missing_packages
from sam_backend.segmenters.registry import known_models
from sam_backend.settings import Settings

logger = logging.getLogger(__name__)

_LOG = "log.txt"

_NICE = 10
"""A training yields to the service."""


class Trainings:
    """Starts trainings, one at a time, and tells how far the latest is.

    Parameters
    ----------
    settings : of the service; the training works in the same `home`.
    model : that is served, and tuned.
    """

    def __init__(self, settings: Settings, model: str) -> None:
        self._settings = settings
        self._model = model
        self._folder = settings.home / "finetune"
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    def start(self, project: str) -> tuple[bool, str]:
        """Start a training on a project's accepted masks; return whether it was started, and what to tell.

        Parameters
        ----------
        project : uid, `<project id>.<unix time it was created>`, or id.
        """
        if self._model not in {info.name for info in known_models() if info.is_trainable}:
            return False, f"{self._model} cannot be trained."
        # What serves nano needs no PyTorch, what trains it does.
        missing = missing_packages(TORCH_PACKAGES)
        if missing:
            return False, f"Training needs {' and '.join(missing)}, not installed here; run {TORCH_EXTRA}"
        with self._lock:
            reached = self.latest()
            if self._runs() or (reached and reached.state == RUNNING):
                return False, f"A training is running already; it goes on. Its log is {self._folder / _LOG}."
            self._process = self._begin(project)
        logger.info("Training %s on project %s in process %d", self._model, project, self._process.pid)
        return True, f"A training was started in a process of its own. Its log is {self._folder / _LOG}."

    def latest(self) -> Progress | None:
        """Return how far the training is that was heard of last."""
        reached, process = latest_progress(self._folder), self._process
        if process is None or (reached and reached.process == process.pid):
            return reached
        # It has not come as far as to tell by itself.
        started = Progress(RUNNING, "Reading the project", model=self._model, process=process.pid)
        if process.poll() is None:
            return started
        words = (self._folder / _LOG).read_text(encoding="utf-8", errors="replace").strip()
        return replace(started, state=FAILED, doing="", result=words.rpartition("\n")[2])

    def _runs(self) -> bool:
        """Whether our process runs; one that has ended is taken leave of."""
        return self._process is not None and self._process.poll() is None

    def _begin(self, project: str) -> subprocess.Popen[bytes]:
        self._folder.mkdir(parents=True, exist_ok=True)
        settings, environment = self._settings, dict(os.environ)
        kept = {"home": settings.home, "cache": settings.cache, "focus": settings.focus.value}
        environment |= {f"SAM_INSPECT_{name.upper()}": str(value) for name, value in kept.items()}
        with (self._folder / _LOG).open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "sam_inspect", "finetune", "--project", project, "--model", self._model],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # A service that is stopped leaves the training alone.
                start_new_session=True,
            )
        _give_way(process.pid)
        return process


def _give_way(process: int) -> None:
    """Let a process, which leads a session of its own, run when others have no use for the processors."""
    if hasattr(os, "setpriority"):
        os.setpriority(os.PRIO_PROCESS, process, _NICE)
    # Linux may group processes by session, and then the niceness of one counts within its session only.
    with contextlib.suppress(OSError):
        Path(f"/proc/{process}/autogroup").write_text(str(_NICE))
