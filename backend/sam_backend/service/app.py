"""The HTTP application, put together; everything it holds belongs to it alone."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import Depends, FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from sam_backend.core.backend import assemble
from sam_backend.errors import SamInspectError
from sam_backend.segmenters import Segmenter
from sam_backend.service.answers import answer_error
from sam_backend.service.authentication import UnauthorizedError, make_authenticate
from sam_backend.service.routes import make_router
from sam_backend.service.tracing import TracingMiddleware, trace_of
from sam_backend.settings import Settings


def create_app(
    segmenter: str | Segmenter,
    settings: Settings,
    on_failure: Callable[[BaseException], None] | None = None,
    checkpoint: Path | None = None,
) -> FastAPI:
    """Make the application that speaks Label Studio's ML-backend contract.

    Parameters
    ----------
    segmenter : a model's name, loaded in the background from the application's start on; or one that is there.
    settings : where things are kept, passwords, limits.
    on_failure : told the error when the model cannot be loaded; the application itself goes on and answers with it.
    checkpoint : where the weights of a model given by name are, as in `load_segmenter`; None for those that were
        promoted last, followed while the application runs, or else those that ship.

    Raises
    ------
    SamInspectError
        If the settings contradict each other.
    """
    backend = assemble(segmenter, settings, on_failure, checkpoint)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        backend.start()
        yield
        backend.stop()

    app = FastAPI(
        title="SAM Inspect",
        lifespan=lifespan,
        dependencies=[Depends(make_authenticate(settings))],
        # The contract is Label Studio's; pages that describe it would stand outside the authentication.
        openapi_url=None,
    )
    # Called at a signal by the server, which otherwise first waits for the requests under way.
    app.state.stop = backend.predictor.stop
    app.state.memories, app.state.learner = backend.memories, backend.learner
    app.include_router(make_router(backend))
    app.add_exception_handler(SamInspectError, _answer_mistake)
    app.add_exception_handler(HTTPException, _answer_unknown_route)
    app.add_middleware(TracingMiddleware, metrics=backend.metrics)
    return app


async def _answer_mistake(request: Request, error: Exception) -> Response:
    assert isinstance(error, SamInspectError)
    trace_of(request).error = str(error)
    headers = {"WWW-Authenticate": 'Basic realm="sam-inspect"'} if isinstance(error, UnauthorizedError) else None
    return answer_error(error.status, str(error), headers)


async def _answer_unknown_route(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    sentence = f"There is no {request.method} {request.url.path} here ({error.detail})."
    trace_of(request).error = sentence
    return answer_error(error.status_code, sentence, dict(error.headers or {}))
