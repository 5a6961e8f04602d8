"""The routes of Label Studio's ML-backend contract, and Prometheus'; each only translates."""

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
from sam_backend.service.tracing import trace_of

_PREDICTIONS_AT_ONCE = 64
"""Threads of their own: however many wait for images or for the model, `/setup` finds one of the other threads free."""

JsonBody = Annotated[bytes, Depends(read_body)]


def make_router(backend: Backend) -> APIRouter:
    """Return the routes to a backend."""
    router = APIRouter()
    model = backend.model
    predicting = CapacityLimiter(_PREDICTIONS_AT_ONCE)

    @router.get("/")
    @router.get("/health")
    async def health() -> Response:
        return answer({"status": "UP", "model_class": model.name, "model_version": model.version})

    @router.post("/setup")
    async def setup(body: JsonBody) -> Response:
        asked = parse_body(body, SetupRequest)
        await run_in_threadpool(backend.connect, asked)
        return answer({"model_version": model.version})

    @router.post("/predict")
    async def predict(request: Request, body: JsonBody) -> Response:
        trace = trace_of(request)

        def work() -> Response:
            return answer({"results": backend.predictor.predict(parse_body(body, PredictRequest), trace)})

        return await to_thread.run_sync(work, limiter=predicting)

    @router.post("/webhook")
    async def webhook(body: JsonBody) -> Response:
        event = await run_in_threadpool(parse_body, body, Event)
        return answer(await run_in_threadpool(backend.hear, event))

    @router.get("/status")
    async def status() -> Response:
        reached = await run_in_threadpool(backend.trainings.latest)
        return answer({"model_version": model.version, "training": asdict(reached) if reached else None})

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
        return Response(generate_latest(backend.metrics.registry), media_type=CONTENT_TYPE_LATEST)

    return router
