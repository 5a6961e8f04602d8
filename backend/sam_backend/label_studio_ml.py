"""SAM Inspect as a model of label-studio-ml, for those who run that server: release 1.0.9 of PyPI, or 2.x of GitHub.

That server makes instances as it likes, 2.x one for each request: all of a process share one backend. It does not hand
on all that a model needs, as the project's uid, where Label Studio is, or in 1.x the labeling config of the very
request: that is read from the request itself.
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
from sam_backend.errors import SamInspectError
from sam_backend.labelstudio.messages import Event, PredictRequest, SetupRequest, TrainRequest, parse_message
from sam_backend.service.answers import reason
from sam_backend.service.logs import quiet_libraries
from sam_backend.service.tracing import Trace
from sam_backend.settings import settings

try:
    from flask import has_request_context, request
    from label_studio_ml.exceptions import AnswerException
    from label_studio_ml.model import LabelStudioMLBase
except ModuleNotFoundError as error:
    raise ImportError(
        f"SamInspectModel needs label-studio-ml, of which {error.name} is not installed; run pip install --no-deps "
        "git+https://github.com/HumanSignal/label-studio-ml-backend, then pip install flask colorama semver."
    ) from None

logger = logging.getLogger(__name__)

_IS_2 = hasattr(LabelStudioMLBase, "setup")
"""Whether it is 2.x, whose constructor calls `setup`, and whose webhooks are handled in the server's own process."""

_making = threading.Lock()


class SamInspectModel(LabelStudioMLBase):
    """Answers as SAM Inspect's own service does, to whom label-studio-ml's server asks. Settings are `SAM_INSPECT_*`.

    A mistake of the user's raises that server's `AnswerException`, which it answers with the sentence in the status
    line; outside a request the `SamInspectError` itself.
    """

    TRAIN_EVENTS = (
        "ANNOTATION_CREATED",
        "ANNOTATIONS_CREATED",
        "ANNOTATION_UPDATED",
        "ANNOTATIONS_DELETED",
        "TASKS_DELETED",
        "START_TRAINING",
    )
    """What `fit` is to be told of. The server of 2.x goes by a list of its own, `label_studio_ml.api.TRAIN_EVENTS`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # 1.x makes an instance in the process of each webhook too, where nothing is to be loaded.
        if not _IS_2 and _is_setup():
            self.setup()

    def setup(self) -> None:
        """Begin to load the model, tell its version, and remember the Label Studio that asks."""
        with _telling(Trace()):
            backend = _backend()
            if _is_setup():
                backend.connect(parse_message(_sent(), SetupRequest))
            if _IS_2 and self.get("model_version") != backend.model.version:
                self.set("model_version", backend.model.version)

    def predict(
        self, tasks: list[dict[str, Any]], context: dict[str, Any] | None = None, **_more: Any
    ) -> list[dict[str, Any]]:
        """Return what `POST /predict` of our own service has for `results`.

        Parameters
        ----------
        tasks : as Label Studio has them.
        context : what was just drawn; None in a batch.
        """
        trace, started = Trace(), time.perf_counter()
        try:
            with _telling(trace):
                sent = _sent()
                values = {
                    "tasks": tasks,
                    "label_config": sent.get("label_config") or self.label_config,
                    "project": sent.get("project") or getattr(self, "project_id", None),
                    "params": {"context": context},
                }
                return _backend().predictor.predict(parse_message(values, PredictRequest), trace)
        finally:
            level = logging.WARNING if trace.error else logging.INFO
            logger.log(level, "predict %.0f ms%s", 1000 * (time.perf_counter() - started), trace)

    def fit(
        self, *given: Any, event: str | None = None, data: dict[str, Any] | None = None, **_more: Any
    ) -> dict[str, Any]:
        """Remember what was annotated, or start a training in a process of its own, as our own `/webhook` does.

        Parameters
        ----------
        given : of 2.x the event and its data. Of 1.x the tasks with annotations that `/train` brought, which are
            remembered before a training is started; for a webhook none, and the other two instead.
        event, data : of 1.x, a webhook's action and its other fields.

        Returns
        -------
        What was done, as our own `/webhook` answers; a mistake is told here, for the server would hide it.
        """
        try:
            if _IS_2 and given:
                event, data = given
                return _backend().hear(_event(event, data))
            # 1.x calls from a process that ends at once, or from a worker: no model is to be loaded there.
            backend = _assemble()
            try:
                if event is None:
                    return self._take(given[0], backend)
                return backend.hear(_event(event, data), learn=False)
            finally:
                backend.stop()
        except SamInspectError as error:
            logger.warning("fit: %s", error)
            return {"status": "failed", "message": str(error)}

    def _take(self, tasks: Iterable[Any], backend: Backend) -> dict[str, str]:
        """Remember the annotations of tasks, then start a training."""
        sent = _sent()
        body = parse_message({"label_config": self.label_config, **sent, "annotations": list(tasks)}, TrainRequest)
        for task in body.annotations:
            backend.hear(body.event(task), learn=False)
        return backend.hear(Event(action="START_TRAINING", project=body.event_project), learn=False)


@cache
def _started() -> Backend:
    quiet_libraries()
    backend = _assemble()
    backend.start()
    atexit.register(backend.stop)
    return backend


def _backend() -> Backend:
    """Return the backend of this process, which begins to load its model when it is first asked for.

    Not before: a server that is forked would leave the threads of a model behind.
    """
    with _making:
        return _started()


def _assemble() -> Backend:
    wanted = settings()
    if wanted.basic_auth_user or wanted.basic_auth_pass:
        raise SamInspectError(
            "SAM_INSPECT_BASIC_AUTH_USER and SAM_INSPECT_BASIC_AUTH_PASS protect sam-inspect serve, not this server; "
            "unset them here, and set BASIC_AUTH_USER and BASIC_AUTH_PASS, which label-studio-ml 2.x reads."
        )
    return assemble(wanted.model, wanted)


def _event(action: str | None, data: dict[str, Any] | None) -> Event:
    return parse_message({**(data or {}), "action": action}, Event)


def _is_setup() -> bool:
    return bool(has_request_context() and request.path == "/setup")


def _sent() -> dict[str, Any]:
    """Return the body of the request under way; {} where there is none."""
    sent = request.get_json(silent=True) if has_request_context() else None
    return sent if isinstance(sent, dict) else {}


@contextmanager
def _telling(trace: Trace) -> Iterator[None]:
    """Let the server answer with the sentence of a mistake, in the status line too, which is all Label Studio shows."""
    try:
        yield
    except SamInspectError as error:
        trace.error = str(error)
        if not has_request_context():
            raise
        # Where there is no traceback the server puts its own.
        raise AnswerException(f"{error.status} {reason(str(error))}", str(error), {"traceback": ""}) from None
