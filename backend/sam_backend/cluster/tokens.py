"""The token that a Ray cluster wants or does not want, and how Ray is told."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

_MODE = "RAY_AUTH_MODE"
_TOKEN = "RAY_AUTH_TOKEN"  # noqa: S105 - a name # nosec B105

AUTHORIZED = {_MODE: "token"}

NO_TOKEN = {_MODE: "disabled"}
"""For a cluster without a token: where Ray sends one, workers of such a cluster never begin."""


def token_here() -> str:
    """Return the token that Ray would send from this machine; "" where there is none that can be sent."""
    token = os.environ.get(_TOKEN, "").strip()
    if not token:
        try:
            path = os.environ.get("RAY_AUTH_TOKEN_PATH") or Path.home() / ".ray" / "auth_token"
            token = Path(path).read_text().strip()
        except (OSError, RuntimeError, UnicodeDecodeError):
            return ""
    # With others, gRPC ends the process.
    return token if token.isascii() and token.isprintable() else ""


def of_own_cluster() -> dict[str, str]:
    """Return the variables for a cluster that starts here: a token, else Ray makes one that stays in the home folder.

    Every cluster that somebody starts later would then want it.
    """
    return {_TOKEN: token_here() or _own_token()}


@cache
def _own_token() -> str:
    # Ray keeps the first one that it sees.
    return secrets.token_hex()


@contextmanager
def told(ray: Any, variables: Mapping[str, str]) -> Iterator[None]:
    """Tell Ray, for the length of a block, by variables of the environment."""
    before = {name: os.environ.get(name) for name in (_MODE, _TOKEN)}
    os.environ.update(variables)
    # Ray read them when it was imported.
    ray._raylet.Config.initialize("")
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
        ray._raylet.Config.initialize("")
