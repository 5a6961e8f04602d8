"""SAM Inspect as a model of the server label-studio-ml: release 1.0.9 on PyPI, or 2.x on GitHub.

That server creates many instances of the model (2.x: one per request); all instances in a process share one backend.
It does not pass on everything that the model needs: the project's uid, the address of Label Studio, and in 1.x the
labeling config of the current request. These are read from the request itself.
"""

from __future__ import annotations

import atexit
import logging
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from sam_backend.core.backend import Backend, assemble
from sam_backend.core.learner import NotKeptError
from sam_backend.core.logs import quiet_libraries
from sam_backend.core.observer import RequestNotes
from sam_backend.errors import SamInspectError, for_annotators, reason_phrase
from sam_backend.labelstudio.messages import Event, PredictRequest, SetupRequest, TrainRequest, parse_message
from sam_backend.safe_text import safe_line
from sam_backend.settings import read_settings

try:
    from flask import has_request_context, request
    from label_studio_ml.exceptions import AnswerException
    from label_studio_ml.model import LabelStudioMLBase
    from werkzeug.exceptions import ServiceUnavailable
except ModuleNotFoundError as error:
    raise ImportError(
        f"SamInspectModel needs label-studio-ml, of which {error.name} is not installed; run pip install --no-deps "
        "git+https://github.com/HumanSignal/label-studio-ml-backend, then pip install flask colorama semver."
    ) from None

logger = logging.getLogger(__name__)

_IS_2 = hasattr(LabelStudioMLBase, "setup")
"""Whether the server is 2.x: its constructor calls `setup`, and it handles webhooks in its own process."""

_lock = threading.Lock()


class SamInspectModel(LabelStudioMLBase):
    """Answers the requests of label-studio-ml's server as `sam-inspect serve` does. Its settings are `SAM_INSPECT_*`.

    A user's mistake raises that server's `AnswerException`, which it answers with the sentence in the status line.
    Outside a request, the `SamInspectError` itself is raised.
    """

    TRAIN_EVENTS = (
        "ANNOTATION_CREATED",
        "ANNOTATIONS_CREATED",
        "ANNOTATION_UPDATED",
        "ANNOTATIONS_DELETED",
        "TASKS_DELETED",
        "START_TRAINING",
    )
    """The events that `fit` handles. The server of 2.x uses its own list, `label_studio_ml.api.TRAIN_EVENTS`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # 1.x also creates an instance in the process of each webhook, which must not load a model.
        if not _IS_2 and _is_setup():
            self.setup()

    def setup(self) -> None:
        """Begin to load the model, set its version, and remember the Label Studio that sent the request."""
        with _answering_errors():
            backend = _backend()
            if _is_setup():
                backend.connect(parse_message(_request_body(), SetupRequest))
            if _IS_2 and self.get("model_version") != backend.model.version:
                self.set("model_version", backend.model.version)

    def predict(
        self, tasks: list[dict[str, Any]], context: dict[str, Any] | None = None, **_more: Any
    ) -> list[dict[str, Any]]:
        """Return the `results` that `POST /predict` of `sam-inspect serve` would return.

        Parameters
        ----------
        tasks : list of dict, tasks as Label Studio sends them.
        context : dict, the regions that were just drawn; None in a batch.
        """
        notes, started = RequestNotes(), time.perf_counter()
        try:
            with _answering_errors(notes):
                body = _request_body()
                values = {
                    "tasks": tasks,
                    "label_config": body.get("label_config") or self.label_config,
                    "project": body.get("project") or getattr(self, "project_id", None),
                    "params": {"context": context},
                }
                return _backend().predictor.predict(parse_message(values, PredictRequest), notes)
        finally:
            level = logging.WARNING if notes.error else logging.INFO
            logger.log(level, "predict %.0f ms%s", 1000 * (time.perf_counter() - started), safe_line(str(notes)))

    def fit(
        self, *given: Any, event: str | None = None, data: dict[str, Any] | None = None, **_more: Any
    ) -> dict[str, Any]:
        """Remember annotations, or start a training in a process of its own, as `/webhook` of `sam-inspect serve` does.

        Parameters
        ----------
        given : in 2.x, the event and its data. In 1.x, the annotated tasks of `/train`, which are remembered before a
            training starts; empty for a webhook.
        event, data : str and dict, in 1.x a webhook's action and its other fields; None in 2.x.

        Returns
        -------
        dict, what was done, as `/webhook` answers. An error is part of it, because the server would hide an exception.
        """
        try:
            if _IS_2 and given:
                event, data = given
                return _backend().handle(_event(event, data))
            # 1.x calls this in a process that ends soon, or in a worker; neither must load a model.
            backend = _assemble()
            try:
                if event is None:
                    return self._train(given[0], backend)
                return backend.handle(_event(event, data), learn=False)
            finally:
                backend.stop()
        except NotKeptError as error:
            logger.error("fit: %s", error)
            if _IS_2 and has_request_context():
                # Label Studio must see that the event is not kept.
                raise ServiceUnavailable(str(error)) from None
            return {"status": "failed", "message": str(error)}
        except SamInspectError as error:
            message = safe_line(str(error))
            logger.warning("fit: %s", message)
            return {"status": "failed", "message": message}

    def _train(self, tasks: Iterable[Any], backend: Backend) -> dict[str, str]:
        """Remember the annotations of tasks, then start a training."""
        values = {"label_config": self.label_config, **_request_body(), "annotations": list(tasks)}
        training = parse_message(values, TrainRequest)
        for task in training.annotations:
            backend.handle(training.event(task), learn=False)
        return backend.handle(Event(action="START_TRAINING", project=training.event_project), learn=False)


@cache
def _started() -> Backend:
    quiet_libraries()
    backend = _assemble()
    backend.start()
    atexit.register(backend.stop)
    return backend


def _backend() -> Backend:
    """Return the backend of this process; the first call starts it.

    It is not started earlier, because a server that forks would lose the threads of the model.
    """
    with _lock:
        return _started()


def _assemble() -> Backend:
    settings = read_settings()
    if settings.basic_auth_user or settings.basic_auth_pass:
        raise SamInspectError(
            "SAM_INSPECT_BASIC_AUTH_USER and SAM_INSPECT_BASIC_AUTH_PASS protect sam-inspect serve, not this server; "
            "unset them here, and set BASIC_AUTH_USER and BASIC_AUTH_PASS, which label-studio-ml 2.x reads."
        )
    return assemble(settings.model, settings)


def _event(action: str | None, data: dict[str, Any] | None) -> Event:
    return parse_message({**(data or {}), "action": action}, Event)


def _is_setup() -> bool:
    return bool(has_request_context() and request.path == "/setup")


def _request_body() -> dict[str, Any]:
    """Return the body of the current request; {} if there is none."""
    sent = request.get_json(silent=True) if has_request_context() else None
    return sent if isinstance(sent, dict) else {}


@contextmanager
def _answering_errors(notes: RequestNotes | None = None) -> Iterator[None]:
    """Let the server answer an error with its sentence, also in the status line, the part that Label Studio shows."""
    try:
        yield
    except SamInspectError as error:
        if notes is not None:
            notes.error = str(error)
        if not has_request_context():
            raise
        # Without a traceback in the answer, the server adds its own.
        sentence = safe_line(for_annotators(error))
        raise AnswerException(f"{error.status} {reason_phrase(sentence)}", sentence, {"traceback": ""}) from None
