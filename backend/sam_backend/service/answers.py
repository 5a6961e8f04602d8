"""Answers as Label Studio reads them."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from pydantic_core import to_json
from starlette.responses import Response

ERROR_HEADER = b"x-error"
_LONGEST_REASON = 500


def answer(values: Any, status: int = 200) -> Response:
    """Answer with JSON."""
    return Response(to_json(values), status, media_type="application/json")


def answer_error(status: int, sentence: str, headers: dict[str, str] | None = None) -> Response:
    """Answer with a sentence, as `{"error": …}` and, percent-encoded, in a header for the server.

    Label Studio never looks into the body of an error: of the answer it passes on the reason phrase of the status line.
    The server moves the header's text there.
    """
    return Response(
        to_json({"error": sentence}),
        status,
        {**(headers or {}), ERROR_HEADER.decode(): quote(reason(sentence), safe=" ")},
        media_type="application/json",
    )


def reason(sentence: str) -> str:
    """Return a sentence as the reason phrase of a status line: one line, in letters of Latin-1, as clients read it."""
    return " ".join(sentence.split())[:_LONGEST_REASON].encode("latin-1", "replace").decode("latin-1")
