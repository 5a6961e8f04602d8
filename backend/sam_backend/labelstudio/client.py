"""The one client of Label Studio's API: short-lived tokens, and requests whose failures are one sentence."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import httpx
import jwt

from sam_backend.errors import ImageServerError
from sam_backend.labelstudio.servers import Server

_EARLY = 30
"""Seconds before its end from which a short-lived token is no longer used."""

_ATTEMPTS = 3
_PASSING = (408, 429, 500, 502, 503, 504)
"""Statuses that another attempt may change: Label Studio's database can be locked for a moment."""

_HINTS = {
    401: "it does not know the token; set SAM_INSPECT_LABEL_STUDIO_API_KEY to a personal access token",
    403: "the token may not do that; set SAM_INSPECT_LABEL_STUDIO_API_KEY to one that may",
    404: "there is no such project or task",
}


Answer = TypeVar("Answer")


class AccessTokens:
    """Tokens ready to be sent: a personal access token is exchanged for a short-lived one, which is kept until it ends.

    Parameters
    ----------
    timeout : float, seconds that a Label Studio has to answer.
    """

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._tokens: dict[Server, tuple[str, float]] = {}
        self._lock = threading.Lock()

    def of(self, server: Server) -> str:
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
        token = self._exchange(server)
        with self._lock:
            self._tokens[server] = (token, float(_claims(token).get("exp", 0)))
        return token

    def _exchange(self, server: Server) -> str:
        try:
            answer = httpx.post(
                f"{server.hostname}/api/token/refresh/", json={"refresh": server.token}, timeout=self._timeout
            )
        except httpx.HTTPError as error:
            raise ImageServerError(
                f"Label Studio at {server.shown} could not be asked to renew a personal access token: "
                f"{type(error).__name__} within {self._timeout:g} s."
            ) from None
        if answer.status_code != httpx.codes.OK:
            raise ImageServerError(
                f"Label Studio at {server.shown} answered {answer.status_code} to the personal access token; make "
                "a new one there and give it to this service as SAM_INSPECT_LABEL_STUDIO_API_KEY."
            )
        try:
            return str(answer.json()["access"])
        except (ValueError, KeyError, TypeError):
            raise ImageServerError(
                f"{server.shown} does not answer /api/token/refresh as Label Studio does; check its address."
            ) from None


class LabelStudioClient:
    """Requests to one Label Studio. Safe to share between threads.

    Parameters
    ----------
    server : Server, with its token.
    timeout : float, seconds that it has for each answer.
    """

    def __init__(self, server: Server, timeout: float) -> None:
        self._server = server
        self._tokens = AccessTokens(timeout)
        self._http = httpx.Client(base_url=server.hostname, follow_redirects=True, timeout=timeout)

    def request(
        self,
        method: str,
        path: str,
        read: Callable[[Any], Answer],
        *,
        about: str,
        query: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | None = None,
        timeout: float | None = None,
    ) -> Answer:
        """Send a request, up to three times, and return what `read` makes of the answer.

        Parameters
        ----------
        method, path : str, for example "GET" and "/api/projects/3/".
        read : Callable, takes the JSON of the answer, None for an answer without a body. It may raise a KeyError,
            TypeError or ValueError where the answer is not as expected.
        about : str, names in an error what was asked about, for example "project 3".
        query, body : parameters of the address, and what is sent as JSON.
        timeout : float, seconds for this answer; None for the client's own.

        Raises
        ------
        ImageServerError
            If Label Studio refuses, does not answer, or answers something unexpected.
        """
        token = self._tokens.of(self._server)
        # A short-lived token is a JWT, a legacy token has no points.
        headers = {"Authorization": f"{'Bearer' if token.count('.') == 2 else 'Token'} {token}"}
        patience = self._http.timeout if timeout is None else httpx.Timeout(timeout)
        where = f"Label Studio at {self._server.shown}"
        try:
            for attempt in range(_ATTEMPTS):
                answer = self._http.request(method, path, params=query, json=body, headers=headers, timeout=patience)
                if answer.status_code not in _PASSING or attempt == _ATTEMPTS - 1:
                    break
                time.sleep(2.0**attempt / 2)
            if not answer.is_success:
                hint = _HINTS.get(answer.status_code, "see its log")
                raise ImageServerError(f"{where} answered {answer.status_code} about {about}: {hint}.")
            return read(answer.json() if answer.content else None)
        except (httpx.HTTPError, httpx.InvalidURL, ValueError, KeyError, TypeError) as error:
            raise ImageServerError(
                f"{where} does not answer about {about} as it should: {type(error).__name__}; check its address."
            ) from None


def _claims(token: str) -> dict[str, Any]:
    """Return the claims of a JWT, unverified: it is sent, not trusted; {} for other tokens."""
    try:
        claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    except jwt.InvalidTokenError:
        return {}
    return claims
