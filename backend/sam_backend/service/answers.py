"""The answers to requests, in the form that Label Studio reads."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from pydantic_core import to_json
from starlette.responses import Response

from sam_backend.errors import reason_phrase

ERROR_HEADER = b"x-error"


def answer(values: Any, status: int = 200) -> Response:
    """Return an answer with JSON."""
    return Response(to_json(values), status, media_type="application/json")


def answer_error(status: int, sentence: str, headers: dict[str, str] | None = None) -> Response:
    """Return an answer with an error's sentence, as `{"error": …}` and, percent-encoded, in a header for our server.

    Label Studio shows the reason phrase of the status line and never the body of an error. Our server moves the text of
    the header there.
    """
    return Response(
        to_json({"error": sentence}),
        status,
        {**(headers or {}), ERROR_HEADER.decode(): quote(reason_phrase(sentence), safe=" ")},
        media_type="application/json",
    )
