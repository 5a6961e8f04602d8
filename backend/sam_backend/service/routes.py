"""The routes of Label Studio's contract with an ML backend, and `/metrics`; a route only translates."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, Depends
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from sam_backend.core.backend import Backend
from sam_backend.labelstudio.config import LabelingConfig
from sam_backend.labelstudio.messages import Event, PredictRequest, SetupRequest, ValidateRequest
from sam_backend.service.answers import answer
from sam_backend.service.bodies import parse_body, read_body
from sam_backend.service.metrics import Metrics
from sam_backend.service.tracing import notes_of

_PREDICTIONS_AT_ONCE = 64
"""Threads for predictions only, so that `/setup` finds a free thread even if many predictions wait for images."""

JsonBody = Annotated[bytes, Depends(read_body)]


def make_router(backend: Backend, metrics: Metrics) -> APIRouter:
    """Return the routes of a backend."""
    router = APIRouter()
    model = backend.model
    predicting = CapacityLimiter(_PREDICTIONS_AT_ONCE)

    @router.get("/")
    @router.get("/health")
    async def health() -> Response:
        return answer({"status": "UP", "model_class": model.name, "model_version": model.version})

    @router.post("/setup")
    async def setup(body: JsonBody) -> Response:
        await run_in_threadpool(backend.connect, parse_body(body, SetupRequest))
        return answer({"model_version": model.version})

    @router.post("/predict")
    async def predict(request: Request, body: JsonBody) -> Response:
        notes = notes_of(request)

        def work() -> Response:
            return answer({"results": backend.predictor.predict(parse_body(body, PredictRequest), notes)})

        return await to_thread.run_sync(work, limiter=predicting)

    @router.post("/webhook")
    async def webhook(body: JsonBody) -> Response:
        event = await run_in_threadpool(parse_body, body, Event)
        return answer(await run_in_threadpool(backend.handle, event))

    @router.get("/status")
    async def status() -> Response:
        training = await run_in_threadpool(backend.trainings.latest)
        return answer({"model_version": model.version, "training": asdict(training) if training else None})

    @router.get("/versions")
    @router.post("/versions")
    async def versions() -> Response:
        return answer({"versions": [model.version]})

    @router.post("/validate")
    async def validate(body: JsonBody) -> Response:
        config = await run_in_threadpool(LabelingConfig.parse, parse_body(body, ValidateRequest).config)
        masks = {target.image.name: [output.control.name for output in target.outputs] for target in config.targets}
        return answer({"status": "ok", "masks": masks})

    @router.get("/metrics")
    async def read_metrics() -> Response:
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)

    return router
