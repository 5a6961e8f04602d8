"""Around every request: its id, its one log line, its metrics, and an answer even after a bug of ours."""

from __future__ import annotations

import logging
import re
import secrets
import time
from contextlib import nullcontext
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sam_backend.core.observer import RequestNotes, noting
from sam_backend.safe_text import safe_line
from sam_backend.service.answers import answer_error
from sam_backend.service.log_tally import Tally
from sam_backend.service.metrics import TOTAL, Metrics

logger = logging.getLogger(__name__)

_QUIET = {"/", "/health", "/setup", "/versions", "/metrics", "/status"}
"""Routes that are requested again and again; their good answers are logged at level debug only."""

_COUNTED = {408, 499, 503}
"""Answers that a flood of requests gets; each sentence has one line a minute."""

_LOGGED_BY_OTHERS = {401, 429}
"""Answers to wrong passwords, which have one line for a client and a minute."""

REQUEST_ID = "X-Request-ID"
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)

_MAX_SHOWN_PATH = 200
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
        notes = scope["sam_inspect.notes"] = RequestNotes(id=_request_id(Headers(scope=scope)))
        traces = None if scope["path"] in _QUIET else self._metrics.traces
        with noting(notes), traces.request(scope, notes) if traces else nullcontext() as span:
            status = await self._serve(scope, receive, send, notes)
            if traces and span:
                traces.answered(span, scope["method"], _route(scope), status, notes)

    async def _serve(self, scope: Scope, receive: Receive, send: Send, notes: RequestNotes) -> int:
        """Serve one request; return the status of its answer."""
        started, status = time.perf_counter(), 0

        async def watch(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[REQUEST_ID] = notes.id
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
            route = _route(scope)
            self._metrics.answered(route, status, seconds, notes)
            level = logging.WARNING if status >= 400 else logging.DEBUG if route in _QUIET else logging.INFO
            if status in _COUNTED:
                self._tally.add(safe_line(f"{status}: {notes.error}"))
                level = logging.DEBUG
            elif status in _LOGGED_BY_OTHERS:
                level = logging.DEBUG
            line = f"{_shown(scope)} {status} {1000 * seconds:.0f} ms{safe_line(str(notes))}"
            logger.log(level, "%s", line, extra={"fields": _fields(scope, status, seconds, notes)})
        return status


def _route(scope: Scope) -> str:
    return getattr(scope.get("route"), "path", "other")


def _request_id(headers: Headers) -> str:
    """Return the id that a proxy gave the request, or a new one."""
    given = headers.getlist(REQUEST_ID)
    return given[0] if len(given) == 1 and _REQUEST_ID.fullmatch(given[0]) else secrets.token_hex(8)


def _fields(scope: Scope, status: int, seconds: float, notes: RequestNotes) -> dict[str, Any]:
    """Return what a structured log line has beside its text and what `JsonFormatter` knows."""
    stages = {stage: _milliseconds(spent) for stage, spent in notes.stages.copy().items()}
    return {
        "method": scope["method"],
        "path": shown_path(scope),
        "status": status,
        **{name: getattr(notes, name) for name in ("prompt", "page", "image", "model", "error")},
        "trace_id": notes.trace,
        "stages": {**stages, TOTAL: _milliseconds(seconds)},
    }


def _milliseconds(seconds: float) -> float:
    return round(1000 * seconds, 1)


def _shown(scope: Scope) -> str:
    return f"{safe_line(scope['method'])} {shown_path(scope)}"


def shown_path(scope: Scope) -> str:
    """Return the path of a request as it is shown, masked before it is cut, since half a secret looks like none."""
    return safe_line(scope["path"])[:_MAX_SHOWN_PATH]
