"""Answers as Label Studio reads them."""

from __future__ import annotations

from typing import Any

from pydantic_core import to_json
from starlette.responses import Response

ERROR_HEADER = b"x-error"
_LONGEST_REASON = 500


def answer(values: Any, status: int = 200) -> Response:
    """Answer with JSON."""
    return Response(to_json(values), status, media_type="application/json")


def answer_error(status: int, sentence: str, headers: dict[str, str] | None = None) -> Response:
    """Answer with a sentence, as `{"error": …}` and in a header.

    Label Studio never looks into the body of an error: it shows the annotator the reason phrase of the status line.
    The server puts the header there.
    """
    response = Response(to_json({"error": sentence}), status, headers, media_type="application/json")
    line = " ".join(sentence.split())[:_LONGEST_REASON]
    response.raw_headers.append((ERROR_HEADER, line.encode()))
    return response
