"""The routes of Label Studio's ML-backend contract, and Prometheus'; each only translates."""

from __future__ import annotations

import logging
from dataclasses import asdict
from typing import Annotated
from urllib.parse import urlsplit

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, Depends
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from sam_backend.errors import BadRequestError
from sam_backend.labelstudio.config import LabelingConfig
from sam_backend.labelstudio.servers import ServerRegistry
from sam_backend.service.answers import answer
from sam_backend.service.bodies import PredictBody, SetupBody, ValidateBody, WebhookBody, parse_body, read_body
from sam_backend.service.learner import Learner
from sam_backend.service.metrics import Metrics
from sam_backend.service.model import BackgroundModel
from sam_backend.service.predictions import Predictor
from sam_backend.service.tracing import trace_of
from sam_backend.service.trainings import Trainings

logger = logging.getLogger(__name__)

_PREDICTIONS_AT_ONCE = 64
"""Threads of their own: however many wait for images or for the model, `/setup` finds one of the other threads free."""

JsonBody = Annotated[bytes, Depends(read_body)]


def make_router(
    model: BackgroundModel,
    predictor: Predictor,
    servers: ServerRegistry,
    metrics: Metrics,
    trainings: Trainings,
    learner: Learner,
) -> APIRouter:
    """Return the routes of one application."""
    router = APIRouter()
    predicting = CapacityLimiter(_PREDICTIONS_AT_ONCE)

    @router.get("/")
    @router.get("/health")
    async def health() -> Response:
        return answer({"status": "UP", "model_class": model.name, "model_version": model.version})

    @router.post("/setup")
    async def setup(body: JsonBody) -> Response:
        asked = parse_body(body, SetupBody)
        if asked.project is not None and asked.hostname:
            if urlsplit(asked.hostname).scheme not in ("http", "https"):
                raise BadRequestError(
                    "The hostname of Label Studio must start with http:// or https:// and does not; set "
                    "LABEL_STUDIO_HOST where Label Studio runs."
                )
            try:
                await run_in_threadpool(servers.remember, str(asked.project), asked.hostname, asked.access_token or "")
            except OSError as error:
                logger.warning("The address of Label Studio is not kept across a restart: %s", error)
        return answer({"model_version": model.version})

    @router.post("/predict")
    async def predict(request: Request, body: JsonBody) -> Response:
        trace = trace_of(request)

        def work() -> Response:
            return answer({"results": predictor.predict(parse_body(body, PredictBody), trace)})

        return await to_thread.run_sync(work, limiter=predicting)

    @router.post("/webhook")
    async def webhook(body: JsonBody) -> Response:
        event = await run_in_threadpool(parse_body, body, WebhookBody)
        if await run_in_threadpool(learner.hear, event):
            return answer({"status": "remembered", "action": event.action})
        if event.action != "START_TRAINING":
            message = "Nothing here depends on this event."
            return answer({"status": "ignored", "action": event.action, "message": message})
        if event.project is None:
            raise BadRequestError("The body needs 'project' to start a training, which is missing.")
        started, message = await run_in_threadpool(trainings.start, event.project.uid)
        return answer({"status": "started" if started else "ignored", "action": event.action, "message": message})

    @router.get("/status")
    async def status() -> Response:
        reached = await run_in_threadpool(trainings.latest)
        return answer({"model_version": model.version, "training": asdict(reached) if reached else None})

    @router.get("/versions")
    @router.post("/versions")
    async def versions() -> Response:
        return answer({"versions": [model.version]})

    @router.post("/validate")
    async def validate(body: JsonBody) -> Response:
        config = await run_in_threadpool(LabelingConfig.parse, parse_body(body, ValidateBody).config)
        masks = {target.image.name: [output.control.name for output in target.outputs] for target in config.targets}
        return answer({"status": "ok", "masks": masks})

    @router.get("/metrics")
    async def read_metrics() -> Response:
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)

    return router
