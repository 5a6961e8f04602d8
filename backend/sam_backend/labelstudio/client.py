"""The one client of Label Studio's API: short-lived tokens, and requests whose failures are one sentence."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeVar
from urllib.parse import urlencode

import jwt

from sam_backend.errors import ImageServerError
from sam_backend.labelstudio.addresses import Origin
from sam_backend.labelstudio.connections import FetchDeadline, TransportError
from sam_backend.labelstudio.servers import Server
from sam_backend.labelstudio.transport import HttpRequest, Transport

_EARLY = 30
"""Seconds before its end from which a short-lived token is no longer used."""

_MAX_TOKENS = 1000
_MAX_TOKEN_BYTES = 2**20
_MAX_BYTES = 2**30

_ATTEMPTS = 3
_PASSING = (408, 429, 500, 502, 503, 504)
"""Statuses that another attempt may change: Label Studio's database can be locked for a moment."""

_HINTS = {
    401: "it does not know the token; set SAM_INSPECT_LABEL_STUDIO_API_KEY to a personal access token",
    403: "the token may not do that; set SAM_INSPECT_LABEL_STUDIO_API_KEY to one that may",
    404: "there is no such project or task",
}


Answer = TypeVar("Answer")


class RefusedTokenError(ImageServerError):
    """Label Studio does not accept a personal access token (HTTP 502)."""


def authorization(token: str) -> str:
    """Return the Authorization header for a legacy token or a short-lived one."""
    # A short-lived token is a JWT, a legacy token has no points.
    return f"{'Bearer' if token.count('.') == 2 else 'Token'} {token}"


class AccessTokens:
    """Tokens ready to be sent: a personal access token is exchanged for a short-lived one, which is kept until it ends.

    Parameters
    ----------
    timeout : float, seconds that a Label Studio has to answer.
    transport : Transport, sends the requests; None for the default.
    """

    def __init__(self, timeout: float, transport: Transport | None = None) -> None:
        self._timeout = timeout
        self._transport = transport or Transport()
        self._tokens: dict[Server, tuple[str, float]] = {}
        self._lock = threading.Lock()

    def of(self, server: Server, deadline: FetchDeadline | None = None) -> str:
        """Return a legacy token unchanged, and a valid short-lived token for a personal access token.

        Raises
        ------
        ImageServerError
            If the server refuses the token or does not answer.
        """
        if _claims(server.token).get("token_type") != "refresh":
            return server.token
        with self._lock:
            token, end = self._tokens.get(server, ("", 0.0))
        if time.time() < end - _EARLY:
            return token
        token = self._exchange(server, deadline or FetchDeadline(self._timeout))
        with self._lock:
            if len(self._tokens) >= _MAX_TOKENS:
                self._tokens.clear()
            self._tokens[server] = (token, _number(_claims(token).get("exp")))
        return token

    def header(self, server: Server, deadline: FetchDeadline | None = None) -> str:
        """Return the Authorization header of a request to the server; raises as `of`."""
        return authorization(self.of(server, deadline))

    def _exchange(self, server: Server, deadline: FetchDeadline) -> str:
        address = f"{server.hostname}/api/token/refresh/"
        body = json.dumps({"refresh": server.token}).encode()
        request = HttpRequest(address, Origin.of(server.hostname), method="POST", body=body)
        try:
            answer = self._transport.send(request, deadline, _MAX_TOKEN_BYTES)
        except TransportError as error:
            raise ImageServerError(
                f"Label Studio at {server.shown} could not be asked to renew a personal access token: its answer "
                f"{error}."
            ) from None
        if answer.status != 200:
            kind = RefusedTokenError if answer.status in (400, 401, 403) else ImageServerError
            raise kind(
                f"Label Studio at {server.shown} answered {answer.status} to the personal access token; make "
                "a new one there and give it to this service as SAM_INSPECT_LABEL_STUDIO_API_KEY."
            )
        try:
            token = json.loads(answer.body)["access"]
            if not isinstance(token, str) or not token.isprintable() or not token.isascii() or " " in token:
                raise ValueError
        except (ValueError, KeyError, TypeError):
            raise ImageServerError(
                f"{server.shown} does not answer /api/token/refresh as Label Studio does; check its address."
            ) from None
        return token


@dataclass(frozen=True)
class UploadedFile:
    """A file that is sent to Label Studio.

    Attributes
    ----------
    name : str, its name there, without quotation marks and line breaks.
    content : bytes.
    """

    FORM: ClassVar[str] = "multipart/form-data; boundary=sam-inspect-7d1f2c40b3a94e5f"

    name: str
    content: bytes = field(repr=False)

    def form(self) -> bytes:
        """Return the body of a form with the file alone."""
        edge = self.FORM.partition("=")[2]
        head = f'--{edge}\r\nContent-Disposition: form-data; name="file"; filename="{self.name}"\r\n'
        return (
            f"{head}Content-Type: application/octet-stream\r\n\r\n".encode()
            + self.content
            + (f"\r\n--{edge}--\r\n".encode())
        )


class LabelStudioClient:
    """Requests to one Label Studio. Safe to share between threads.

    Parameters
    ----------
    server : Server, with its token.
    timeout : float, seconds that it has for each answer.
    transport : Transport, sends the requests; None for the default.
    """

    def __init__(self, server: Server, timeout: float, transport: Transport | None = None) -> None:
        self._server = server
        self._timeout = timeout
        self._transport = transport or Transport()
        self._tokens = AccessTokens(timeout, self._transport)

    def request(
        self,
        method: str,
        path: str,
        read: Callable[[Any], Answer],
        *,
        about: str,
        query: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | Sequence[Any] | UploadedFile | None = None,
        timeout: float | None = None,
    ) -> Answer:
        """Send a request, up to three times, and return what `read` makes of the answer.

        Parameters
        ----------
        method, path : str, for example "GET" and "/api/projects/3/".
        read : Callable, takes the JSON of the answer, None for an answer without a body. It may raise a KeyError,
            TypeError or ValueError where the answer is not as expected.
        about : str, names in an error what was asked about, for example "project 3".
        query, body : parameters of the address, and what is sent: a file as a form, anything else as JSON.
        timeout : float, seconds for this answer; None for the client's own.

        Raises
        ------
        ImageServerError
            If Label Studio refuses, does not answer, or answers something unexpected.
        """
        where = f"Label Studio at {self._server.shown}"
        address = f"{self._server.hostname}{path}" + (f"?{urlencode(query)}" if query else "")
        own = Origin.of(self._server.hostname)
        seconds = self._timeout if timeout is None else timeout
        header = self._tokens.header(self._server)
        content = body.form() if isinstance(body, UploadedFile) else None if body is None else json.dumps(body).encode()
        kind = UploadedFile.FORM if isinstance(body, UploadedFile) else "application/json"
        request = HttpRequest(address, own, lambda url: header, method, content, kind)
        try:
            for attempt in range(_ATTEMPTS):
                answer = self._transport.send(request, FetchDeadline(seconds), _MAX_BYTES)
                if answer.status not in _PASSING or attempt == _ATTEMPTS - 1:
                    break
                time.sleep(2.0**attempt / 2)
        except TransportError as error:
            raise ImageServerError(f"{where} was asked about {about}, and its answer {error}.") from None
        if not answer.is_success:
            hint = _HINTS.get(answer.status, "see its log")
            raise ImageServerError(f"{where} answered {answer.status} about {about}: {hint}.")
        try:
            return read(json.loads(answer.body) if answer.body else None)
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise ImageServerError(
                f"{where} does not answer about {about} as it should: {type(error).__name__}; check its address."
            ) from None


def token_kind(token: str) -> str:
    """Return what a token of Label Studio is: "personal access", "short-lived", which ends after minutes, or "legacy".

    Examples
    --------
    >>> token_kind("0123456789abcdef")
    'legacy'
    """
    return {"refresh": "personal access", "access": "short-lived"}.get(str(_claims(token).get("token_type")), "legacy")


def _claims(token: str) -> dict[str, Any]:
    """Return the claims of a JWT, unverified: it is sent, not trusted; {} for other tokens."""
    try:
        claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    except (jwt.InvalidTokenError, RecursionError):
        return {}
    return claims


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) and 0 <= value < 2**53 else 0.0
