"""The HTTP application: the routes of a backend, with authentication, error answers, log lines and metrics."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import Depends, FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from sam_backend.core.backend import Backend
from sam_backend.errors import SamInspectError
from sam_backend.service.answers import answer_error
from sam_backend.service.authentication import UnauthorizedError, make_authenticate
from sam_backend.service.metrics import Metrics
from sam_backend.service.routes import make_router
from sam_backend.service.tracing import TracingMiddleware, notes_of
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

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        backend.start()
        yield
        backend.stop()

    app = FastAPI(
        title="SAM Inspect",
        lifespan=lifespan,
        dependencies=[Depends(make_authenticate(settings))],
        # Label Studio defines the contract; FastAPI's pages about it would not be behind the password.
        openapi_url=None,
    )
    app.include_router(make_router(backend, metrics))
    app.add_exception_handler(SamInspectError, _answer_mistake)
    app.add_exception_handler(HTTPException, _answer_unknown_route)
    app.add_middleware(TracingMiddleware, metrics=metrics)
    return app


async def _answer_mistake(request: Request, error: Exception) -> Response:
    assert isinstance(error, SamInspectError)
    notes_of(request).error = str(error)
    headers = {"WWW-Authenticate": 'Basic realm="sam-inspect"'} if isinstance(error, UnauthorizedError) else None
    return answer_error(error.status, str(error), headers)


async def _answer_unknown_route(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    sentence = f"There is no {request.method} {request.url.path} here ({error.detail})."
    notes_of(request).error = sentence
    return answer_error(error.status_code, sentence, dict(error.headers or {}))
