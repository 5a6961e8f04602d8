"""The service while its parts are imported: `/health` is answered at once, other requests wait for the application."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from starlette.types import ASGIApp, Receive, Scope, Send

from sam_backend.core.observer import RequestNotes
from sam_backend.service.answers import answer
from sam_backend.service.authentication import Authentication
from sam_backend.service.guard import GuardMiddleware
from sam_backend.settings import Settings

if TYPE_CHECKING:
    from fastapi import FastAPI

STARTING = "starting"
"""The status that `/health` answers until the model is loaded; Label Studio takes any answer 200 for a live backend."""


class StartingApp:
    """An application that is loaded by a thread once the server listens.

    Parameters
    ----------
    model : str, the model's name, which `/health` answers meanwhile.
    settings : Settings, with the user and the password that requests must give.
    load : callable, returns the application; it imports what is slow.
    on_failure : callable, receives the error if it cannot be loaded.

    Raises
    ------
    SamInspectError
        If only one of user and password is set.
    """

    def __init__(
        self,
        model: str,
        settings: Settings,
        load: Callable[[], FastAPI],
        on_failure: Callable[[BaseException], None],
    ) -> None:
        self._load = load
        self._on_failure = on_failure
        self._app: ASGIApp | None = None
        self._loaded = asyncio.Event()
        state = {"status": STARTING, "model_class": model, "model_version": model}
        self._health = GuardMiddleware(answer(state), Authentication(settings))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or the time from the start of the server to its end."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        if not self._loaded.is_set() and scope["path"] in ("/", "/health"):
            scope["sam_inspect.notes"] = RequestNotes()
            await self._health(scope, receive, send)
            return
        await self._loaded.wait()
        # If it cannot be loaded, the server ends.
        app = self._app or answer({"error": "The service could not start; its log says why."}, 503)
        await app(scope, receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        async with AsyncExitStack() as stack:
            try:
                app = await asyncio.to_thread(self._load)
                await stack.enter_async_context(app.router.lifespan_context(app))
                self._app = app
            except Exception as error:
                self._on_failure(error)
            self._loaded.set()
            await receive()
        await send({"type": "lifespan.shutdown.complete"})
