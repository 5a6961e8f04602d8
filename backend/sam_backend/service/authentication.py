"""HTTP basic authentication, which Label Studio uses if the model's connection has a user and a password."""

from __future__ import annotations

import asyncio
import base64
import hmac
import ipaddress
import logging
from collections import Counter
from collections.abc import Awaitable, Callable

from cachetools import TTLCache
from starlette.datastructures import Headers
from starlette.types import Scope

from sam_backend.errors import SamInspectError
from sam_backend.safe_text import safe_line
from sam_backend.service.answers import RefusedError
from sam_backend.service.log_tally import Tally
from sam_backend.settings import Settings

logger = logging.getLogger(__name__)

OPEN_PATH = "/"
"""Needs no password, because the probes of Docker and Kubernetes have none. `/health` needs one, because Label Studio
reports a wrong password only if `/health` answers 401."""

_FREE_TRIES = 3
"""Wrong passwords of a client in a minute that are answered at once."""

_DELAY = 1.0
"""Seconds until a further wrong password is answered."""

_TRIES_AT_ONCE = 10
"""Wrong passwords of a client that wait for their answer; while there are so many, its passwords are not looked at."""

_SENTENCE = "A user and a password are needed here (HTTP basic); enter them in Label Studio at the model's connection."

_WEBHOOK_HINT = (
    " Label Studio does not send the model's password with its webhooks; add the header Authorization to the webhook "
    "in the project's settings, as docs/label-studio.md says, or nothing is learnt."
)


def has_password(settings: Settings) -> bool:
    """Return whether requests must give a password.

    Raises
    ------
    SamInspectError
        If only one of user and password is set.
    """
    return _expected(settings) is not None


class Authentication:
    """Asks every request but one for `OPEN_PATH` for the user and the password, without its body and without a thread.

    Parameters
    ----------
    settings : Settings, with user and password; without both, every request is accepted.
    sleep : coroutine function, waits for a number of seconds.

    Raises
    ------
    SamInspectError
        If only one of user and password is set.
    """

    def __init__(self, settings: Settings, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self._expected = _expected(settings)
        self._sleep = sleep
        self._wrong: TTLCache[str, int] = TTLCache(10_000, 60.0)
        self._waiting: Counter[str] = Counter()
        self._tally = Tally(logger)

    async def check(self, scope: Scope) -> None:
        """Raise `RefusedError` (HTTP 401) for a request without the right password; 429 after too many wrong ones."""
        # The path that the router reads. That of `request.url` is made of the Host header, which a client chooses.
        if self._expected is None or scope["path"] == OPEN_PATH:
            return
        client = _client(scope)
        if self._waiting[client] >= _TRIES_AT_ONCE:
            self._tally.add(f"Client {client} gave many wrong passwords and is refused for a while.")
            raise RefusedError(
                429, "Too many wrong passwords came from this address; try again later.", Retry_After="5"
            )
        given = _credentials(Headers(scope=scope))
        if given is not None and hmac.compare_digest(given, self._expected):
            return
        hint = _WEBHOOK_HINT if given is None and scope["path"] == "/webhook" else ""
        self._tally.add(f"Client {client} gave {'no' if given is None else 'a wrong'} password.{hint}")
        if given is not None:
            await self._slow_down(client)
        raise RefusedError(401, _SENTENCE, WWW_Authenticate='Basic realm="sam-inspect"')

    async def _slow_down(self, client: str) -> None:
        wrong = self._wrong[client] = self._wrong.get(client, 0) + 1
        if wrong <= _FREE_TRIES:
            return
        self._waiting[client] += 1
        try:
            await self._sleep(_DELAY)
        finally:
            self._waiting[client] -= 1
            if not self._waiting[client]:
                del self._waiting[client]


def _expected(settings: Settings) -> bytes | None:
    # Compose files leave empty variables behind; they count as not set.
    user = settings.basic_auth_user or ""
    password = settings.basic_auth_pass.get_secret_value() if settings.basic_auth_pass else ""
    if bool(user) != bool(password):
        raise SamInspectError(
            "SAM_INSPECT_BASIC_AUTH_USER and SAM_INSPECT_BASIC_AUTH_PASS belong together; only one of them is set."
        )
    return f"{user}:{password}".encode() if user else None


def _credentials(headers: Headers) -> bytes | None:
    """Return the user and the password of a request; b"" if they cannot be read, None if there are none."""
    header = headers.get("Authorization")
    if header is None:
        return None
    scheme, _, credentials = header.partition(" ")
    try:
        return base64.b64decode(credentials.strip(), validate=True) if scheme.lower() == "basic" else b""
    except ValueError:
        return b""


def _client(scope: Scope) -> str:
    """Return the address of a client; that of its network for IPv6, where a client has 2^64 addresses."""
    host = scope["client"][0] if scope.get("client") else "unknown"
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        # A proxy's header, which is any text.
        return safe_line(str(host))[:64]
    return host if address.version == 4 else str(ipaddress.ip_network((int(address), 64), strict=False))
