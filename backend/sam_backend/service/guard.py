"""What no route must see: malformed hosts, wrong passwords, requests of web pages. No body is read, no thread taken."""

from __future__ import annotations

import ipaddress
import re

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from sam_backend.core.observer import RequestNotes
from sam_backend.errors import SamInspectError
from sam_backend.labelstudio.addresses import split
from sam_backend.service.answers import RefusedError, answer_mistake
from sam_backend.service.authentication import Authentication

_HOST = re.compile(r"(?:\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._-]{1,255})(?::[0-9]{1,5})?", re.ASCII)
"""The forms of a Host header: a name or an address, and perhaps a port."""


class GuardMiddleware:
    """Answers what must not reach a route.

    Parameters
    ----------
    app : ASGI application, receives the other requests.
    authentication : Authentication, checks the password.
    """

    def __init__(self, app: ASGIApp, authentication: Authentication) -> None:
        self._app = app
        self._authentication = authentication

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        try:
            _check_host(headers)
            await self._authentication.check(scope)
            _check_origin(headers)
        except SamInspectError as error:
            notes: RequestNotes = scope["sam_inspect.notes"]
            notes.error = str(error)
            response = answer_mistake(error)
            if not _has_no_body(headers):
                # The body is not read, so the next request cannot be found behind it.
                response.headers["Connection"] = "close"
            await response(scope, receive, send)
        else:
            await self._app(scope, receive, send)


def _check_host(headers: Headers) -> None:
    hosts = headers.getlist("Host")
    # HTTP/1.0 has none.
    if len(hosts) > 1 or not all(_HOST.fullmatch(host) for host in hosts):
        raise RefusedError(400, "The Host header must be a name or an address, and perhaps a port; it is not.")


def _check_origin(headers: Headers) -> None:
    """Refuse what a web page asks for; Label Studio's server sends no Origin.

    A page of an attacker whose name resolves to this machine has a Host equal to its Origin. So a name other than
    `localhost` counts as a page of another host.
    """
    for origin in headers.getlist("Origin"):
        host = headers.get("Host", "")
        if split(origin).netloc.lower() != host.lower() or not _is_address(host):
            raise RefusedError(
                403, "This request comes from a web page of another host; only Label Studio's server may send it."
            )


def _is_address(host: str) -> bool:
    name = split(f"//{host}").hostname or ""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return name == "localhost"
    return True


def _has_no_body(headers: Headers) -> bool:
    return "Transfer-Encoding" not in headers and headers.get("Content-Length", "0").strip("0") == ""
