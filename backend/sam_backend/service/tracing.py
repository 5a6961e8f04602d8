"""Around every request: its one log line, its metrics, and an answer even after a bug of ours."""

from __future__ import annotations

import logging
import time

from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sam_backend.core.observer import RequestNotes
from sam_backend.safe_text import safe_line
from sam_backend.service.answers import answer_error
from sam_backend.service.log_tally import Tally
from sam_backend.service.metrics import Metrics

logger = logging.getLogger(__name__)

_QUIET = {"/", "/health", "/setup", "/versions", "/metrics", "/status"}
"""Routes that are requested again and again; their good answers are logged at level debug only."""

_COUNTED = {408, 499, 503}
"""Answers that a flood of requests gets; each sentence has one line a minute."""

_LOGGED_BY_OTHERS = {401, 429}
"""Answers to wrong passwords, which have one line for a client and a minute."""

MAX_SHOWN_PATH = 200
"""Letters of a path in log lines and messages."""


def notes_of(request: Request) -> RequestNotes:
    """Return the notes for the log line of a request."""
    notes: RequestNotes = request.scope["sam_inspect.notes"]
    return notes


class TracingMiddleware:
    """Logs and measures every request, and answers 500 with a neutral sentence after an unexpected exception."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics
        self._tally = Tally(logger)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        notes = scope["sam_inspect.notes"] = RequestNotes()
        status = 0

        async def watch(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, watch)
        except ClientDisconnect:
            status = 499
            notes.error = "The caller hung up."
        except Exception:
            logger.exception("%s failed%s", _shown(scope), safe_line(str(notes)))
            if not status:
                notes.error = "The service made a mistake of its own; its log says which."
                await answer_error(500, notes.error)(scope, receive, watch)
        finally:
            seconds = time.perf_counter() - started
            route = getattr(scope.get("route"), "path", "other")
            self._metrics.answered(route, status, seconds, notes)
            level = logging.WARNING if status >= 400 else logging.DEBUG if route in _QUIET else logging.INFO
            if status in _COUNTED:
                self._tally.add(safe_line(f"{status}: {notes.error}"))
                level = logging.DEBUG
            elif status in _LOGGED_BY_OTHERS:
                level = logging.DEBUG
            logger.log(level, "%s %d %.0f ms%s", _shown(scope), status, 1000 * seconds, safe_line(str(notes)))


def _shown(scope: Scope) -> str:
    return safe_line(f"{scope['method']} {scope['path'][:MAX_SHOWN_PATH]}")
