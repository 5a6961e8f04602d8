"""The HTTP application: the routes of a backend, with authentication, error answers, log lines and metrics."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from sam_backend.core.backend import Backend
from sam_backend.errors import SamInspectError
from sam_backend.service.answers import answer_error, answer_mistake
from sam_backend.service.authentication import Authentication
from sam_backend.service.guard import GuardMiddleware
from sam_backend.service.metrics import Metrics
from sam_backend.service.recent import RecentWarnings
from sam_backend.service.routes import Lanes, make_router
from sam_backend.service.state_metrics import StateMetrics
from sam_backend.service.status import status_values
from sam_backend.service.tracing import TracingMiddleware, notes_of, shown_path
from sam_backend.settings import Settings


def create_app(backend: Backend, settings: Settings, metrics: Metrics) -> FastAPI:
    """Return the application that answers Label Studio's requests to an ML backend.

    Parameters
    ----------
    backend : Backend, does the work; the application starts and stops it.
    settings : Settings, with the user and the password that requests must give.
    metrics : Metrics, the observer of the backend; `/metrics` shows them.

    Raises
    ------
    SamInspectError
        If only one of user and password is set.
    """
    authentication, warnings, lanes = Authentication(settings), RecentWarnings(), Lanes(settings)

    def read_status() -> dict[str, Any]:
        counted = {"clicks": lanes.clicks, "batches": lanes.batches}
        return status_values(backend, metrics.clicks, warnings, counted)

    state = StateMetrics(metrics.registry, read_status)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        ours = logging.getLogger("sam_backend")
        ours.addHandler(warnings)
        backend.start()
        state.start()
        yield
        state.stop()
        backend.stop()
        if metrics.traces:
            await asyncio.to_thread(metrics.traces.stop)
        ours.removeHandler(warnings)

    app = FastAPI(
        title="SAM Inspect",
        lifespan=lifespan,
        # Label Studio defines the contract; FastAPI's pages about it would be of no use.
        openapi_url=None,
        # The address of a redirect would be made of the Host header.
        redirect_slashes=False,
    )
    app.include_router(make_router(backend, metrics.registry, lanes, read_status, settings))
    app.add_exception_handler(SamInspectError, _answer_mistake)
    app.add_exception_handler(HTTPException, _answer_unknown_route)
    # The middleware that is added last is called first.
    app.add_middleware(GuardMiddleware, authentication=authentication)
    app.add_middleware(TracingMiddleware, metrics=metrics)
    app.state.state_metrics = state
    return app


async def _answer_mistake(request: Request, error: Exception) -> Response:
    assert isinstance(error, SamInspectError)
    notes_of(request).error = str(error)
    return answer_mistake(error)


async def _answer_unknown_route(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    sentence = f"There is no {request.method} {shown_path(request.scope)} here ({error.detail})."
    notes_of(request).error = sentence
    return answer_error(error.status_code, sentence, dict(error.headers or {}))
