"""HTTP basic authentication, which Label Studio uses if the model's connection has a user and a password."""

from __future__ import annotations

import base64
import hmac
from collections.abc import Callable

from starlette.requests import Request

from sam_backend.errors import BadRequestError, SamInspectError
from sam_backend.settings import Settings

OPEN_PATH = "/"
"""Needs no password, because the probes of Docker and Kubernetes have none. `/health` needs one, because Label Studio
reports a wrong password only if `/health` answers 401."""


class UnauthorizedError(BadRequestError):
    """The user or the password is missing or wrong (HTTP 401)."""

    status = 401


def make_authenticate(settings: Settings) -> Callable[[Request], None]:
    """Return a dependency that raises `UnauthorizedError` for a request without the right user and password.

    Raises
    ------
    SamInspectError
        If only one of user and password is set.
    """
    # Compose files leave empty variables behind; they count as not set.
    user = settings.basic_auth_user or ""
    password = settings.basic_auth_pass.get_secret_value() if settings.basic_auth_pass else ""
    if bool(user) != bool(password):
        raise SamInspectError(
            "SAM_INSPECT_BASIC_AUTH_USER and SAM_INSPECT_BASIC_AUTH_PASS belong together; only one of them is set."
        )
    expected = f"{user}:{password}".encode() if user else None

    def authenticate(request: Request) -> None:
        if expected is None or request.url.path == OPEN_PATH:
            return
        scheme, _, credentials = request.headers.get("Authorization", "").partition(" ")
        try:
            given = base64.b64decode(credentials.strip(), validate=True) if scheme.lower() == "basic" else b""
        except ValueError:
            given = b""
        if not hmac.compare_digest(given, expected):
            raise UnauthorizedError(
                "A user and a password are needed here (HTTP basic); enter them in Label Studio at the model's "
                "connection."
            )

    return authenticate
