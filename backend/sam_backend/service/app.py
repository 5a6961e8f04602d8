"""The HTTP application, put together; everything it holds belongs to it alone."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import Depends, FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from sam_backend.errors import SamInspectError
from sam_backend.labelstudio.images import TaskImages
from sam_backend.labelstudio.servers import ServerRegistry
from sam_backend.learning.finetune.versions import VERSIONS, Versions
from sam_backend.learning.memory.memory import Memories
from sam_backend.segmenters import Segmenter
from sam_backend.segmenters.cache import EmbeddingCache
from sam_backend.segmenters.registry import load_segmenter
from sam_backend.service.answers import answer_error
from sam_backend.service.authentication import UnauthorizedError, make_authenticate
from sam_backend.service.embeddings import TaskEmbeddings
from sam_backend.service.learner import Learner
from sam_backend.service.metrics import Metrics
from sam_backend.service.model import BackgroundModel
from sam_backend.service.predictions import Predictor
from sam_backend.service.promotions import Promotions
from sam_backend.service.routes import make_router
from sam_backend.service.tracing import TracingMiddleware, trace_of
from sam_backend.service.trainings import Trainings
from sam_backend.settings import Focus, Settings


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
    metrics = Metrics()
    promotions = _promotions(segmenter, settings) if isinstance(segmenter, str) and checkpoint is None else None
    model = _background(segmenter, checkpoint, settings.focus, promotions, on_failure)
    trainings = Trainings(settings, model.name)
    key = settings.label_studio_api_key
    servers = ServerRegistry(
        settings.home, url=settings.label_studio_url, api_key=key.get_secret_value() if key else None
    )
    cache = EmbeddingCache.of_megabytes(
        settings.embedding_memory_mb, settings.cache / "embeddings", settings.embedding_disk_mb
    )
    images = TaskImages(timeout=settings.image_timeout, max_pixels=settings.max_image_pixels)
    embeddings = TaskEmbeddings(images, servers, cache, metrics)
    memories = Memories(settings.home)
    learner = Learner(memories, embeddings, model)
    predictor = Predictor(model, embeddings, memories, learner)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        model.start()
        if promotions:
            promotions.follow(model.replace)
        yield
        if promotions:
            promotions.stop()
        learner.stop()
        predictor.stop()
        cache.close()

    app = FastAPI(
        title="SAM Inspect",
        lifespan=lifespan,
        dependencies=[Depends(make_authenticate(settings))],
        # The contract is Label Studio's; pages that describe it would stand outside the authentication.
        openapi_url=None,
    )
    # Called at a signal by the server, which otherwise first waits for the requests under way.
    app.state.stop = predictor.stop
    app.state.memories, app.state.learner = memories, learner
    app.include_router(make_router(model, predictor, servers, metrics, trainings, learner))
    app.add_exception_handler(SamInspectError, _answer_mistake)
    app.add_exception_handler(HTTPException, _answer_unknown_route)
    app.add_middleware(TracingMiddleware, metrics=metrics)
    return app


def _promotions(model: str, settings: Settings) -> Promotions:
    versions = Versions(settings.home / VERSIONS)
    return Promotions(versions, model, lambda folder: load_segmenter(model, folder, focus=settings.focus))


def _background(
    segmenter: str | Segmenter,
    checkpoint: Path | None,
    focus: Focus,
    promotions: Promotions | None,
    on_failure: Callable[[BaseException], None] | None,
) -> BackgroundModel:
    if promotions:
        return BackgroundModel(str(segmenter), promotions.first, on_failure)
    if isinstance(segmenter, str):
        name = segmenter
        return BackgroundModel(name, lambda: load_segmenter(name, checkpoint, focus=focus), on_failure)
    ready = segmenter
    return BackgroundModel(ready.name, lambda: ready, on_failure)


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
