"""The routes of Label Studio's contract with an ML backend, `/status` and `/metrics`; a route only translates."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from fastapi import APIRouter
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from starlette.requests import Request
from starlette.responses import Response

from sam_backend.core.backend import Backend
from sam_backend.labelstudio.config import LabelingConfig
from sam_backend.labelstudio.messages import Event, Message, PredictRequest, SetupRequest, ValidateRequest
from sam_backend.service.answers import answer
from sam_backend.service.bodies import SMALL_BODY, BodyReader
from sam_backend.service.json_messages import parse_body
from sam_backend.service.lanes import Lane
from sam_backend.service.page_parts import POLICY
from sam_backend.service.project_page import project_page
from sam_backend.service.starting import STARTING
from sam_backend.service.status_page import status_page
from sam_backend.service.tracing import notes_of
from sam_backend.settings import Settings

logger = logging.getLogger(__name__)

_PARSED_AT_ONCE = 1
"""Large bodies that are parsed at once: each takes memory for its objects, and Python's one lock for a while."""

_PARSED_IN_THE_LOOP = 2**16
"""Bytes of a body that is parsed in under a millisecond, so without a thread."""


ReadStatus = Callable[[], dict[str, Any]]
"""A function that returns the values of `/status`."""


class Lanes:
    """The threads of an application; health checks and metrics need none.

    Parameters
    ----------
    settings : Settings, with the deadline of clicks and how many requests may wait.
    """

    def __init__(self, settings: Settings) -> None:
        waiting = settings.max_waiting
        # Most of a click's time is spent waiting for the image's server, and then for a free core.
        self.clicks = Lane("clicks", threads=64, waiting=waiting, seconds=settings.click_deadline)
        self.batches = Lane("batches of predictions", threads=8, waiting=waiting, seconds=95)
        self.setups = Lane("setups", threads=8, waiting=waiting, seconds=30, drop=False)
        # Label Studio sends a webhook only once, and many when tasks are imported.
        self.webhooks = Lane("webhooks", threads=8, waiting=2000, seconds=60, drop=False)
        self.questions = Lane("questions about the state", threads=4, waiting=waiting, seconds=10)
        self.bodies = Lane("large requests", threads=_PARSED_AT_ONCE, waiting=waiting, seconds=60, drop=False)


def make_router(
    backend: Backend, registry: CollectorRegistry, lanes: Lanes, read_status: ReadStatus, settings: Settings
) -> APIRouter:
    """Return the routes of a backend; `registry` holds its metrics."""
    router = APIRouter()
    model, reader = backend.model, BodyReader(settings)

    async def receive(request: Request, kind: type[Message], limit: int) -> Message:
        async with reader.read(request, limit) as body:
            parse: Callable[[], Message] = lambda: parse_body(body, kind, notes_of(request).left_out)  # noqa: E731
            return parse() if len(body) <= _PARSED_IN_THE_LOOP else await lanes.bodies.run(request, parse)

    @router.get("/")
    @router.get("/health")
    async def health() -> Response:
        status = "UP" if model.is_ready else STARTING
        return answer({"status": status, "model_class": model.name, "model_version": model.version})

    @router.post("/setup")
    async def setup(request: Request) -> Response:
        message = await receive(request, SetupRequest, SMALL_BODY)
        notes_of(request).project = _text(message.project)
        await lanes.setups.run(request, lambda: backend.connect(message))
        return answer({"model_version": model.version})

    @router.post("/predict")
    async def predict(request: Request) -> Response:
        message = await receive(request, PredictRequest, reader.largest)
        lane, notes = lanes.batches if message.drawn is None else lanes.clicks, notes_of(request)
        notes.project = _text(message.project)

        def predict() -> Response:
            results = backend.predictor.predict(message, notes)
            return answer({"results": results} | ({"left_out": notes.left_out} if notes.left_out else {}))

        return await lane.run(request, predict)

    @router.post("/webhook")
    async def webhook(request: Request) -> Response:
        event = await receive(request, Event, reader.largest)
        notes_of(request).project = event.project.uid if event.project else ""
        done = await lanes.webhooks.run(request, lambda: backend.handle(event))
        # Label Studio does not read the answer; the log is for its operator.
        for sentence in event.refused:
            logger.warning("%s: %s", event.action, sentence)
        return answer({**done, "left_out": event.refused} if event.refused else done)

    @router.get("/status")
    async def status(request: Request) -> Response:
        values = await lanes.questions.run(request, read_status)
        if "text/html" not in request.headers.get("Accept", ""):
            return answer(values)
        project = request.query_params.get("project")
        page = status_page(values) if project is None else project_page(values, project)
        return Response(page, headers=POLICY, media_type="text/html")

    @router.get("/versions")
    @router.post("/versions")
    async def versions() -> Response:
        return answer({"versions": [model.version]})

    @router.post("/validate")
    async def validate(request: Request) -> Response:
        message = await receive(request, ValidateRequest, SMALL_BODY)
        config = await lanes.questions.run(request, lambda: LabelingConfig.parse(message.config))
        masks = {target.image.name: [output.control.name for output in target.outputs] for target in config.targets}
        return answer({"status": "ok", "masks": masks})

    @router.get("/metrics")
    async def read_metrics() -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    return router


def _text(project: str | int | None) -> str:
    return "" if project is None else str(project)
