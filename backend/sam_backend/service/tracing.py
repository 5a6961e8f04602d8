"""Around every request: its one log line, its metrics, and an answer even where a bug is ours."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass

from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sam_backend.service.answers import answer_error
from sam_backend.service.metrics import Metrics

logger = logging.getLogger(__name__)

_QUIET = {"/", "/health", "/setup", "/versions", "/metrics"}
"""Routes that are asked again and again; their good answers are logged at level debug only."""


@dataclass
class Trace:
    """What a request's log line says beside its route, status and time; filled in on the way.

    Attributes
    ----------
    task : id of the task, or how many there are.
    prompt : kind of prompt.
    image : where the embedding came from.
    error : the sentence that was answered.
    """

    task: str = ""
    prompt: str = ""
    image: str = ""
    error: str = ""

    def __str__(self) -> str:
        noted = (f" {name}={value}" for name, value in vars(self).items() if value and name != "error")
        return "".join(noted) + (f": {self.error}" if self.error else "")


def trace_of(request: Request) -> Trace:
    """Return the trace of a request."""
    trace: Trace = request.scope["sam_inspect.trace"]
    return trace


class TracingMiddleware:
    """Logs and measures each request, and answers 500 with a neutral sentence when something unforeseen is raised."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        trace = scope["sam_inspect.trace"] = Trace()
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
            trace.error = "The caller hung up."
        except Exception:
            logger.exception("%s %s failed%s", scope["method"], scope["path"], trace)
            if not status:
                trace.error = "The service made a mistake of its own; its log says which."
                await answer_error(500, trace.error)(scope, receive, watch)
        finally:
            seconds = time.perf_counter() - started
            route = getattr(scope.get("route"), "path", "other")
            self._metrics.requests.labels(route, status).observe(seconds)
            level = logging.WARNING if status >= 400 else logging.DEBUG if route in _QUIET else logging.INFO
            logger.log(level, "%s %s %d %.0f ms%s", scope["method"], scope["path"], status, 1000 * seconds, trace)
