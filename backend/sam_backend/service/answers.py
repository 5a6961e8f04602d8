"""The answers to requests, in the form that Label Studio reads."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from pydantic_core import to_json
from starlette.responses import Response

from sam_backend.errors import BadRequestError, SamInspectError, for_annotators, reason_phrase
from sam_backend.safe_text import safe_line

ERROR_HEADER = b"x-error"

_RETRY_AFTER = "5"
"""Seconds after which a client may ask again what could not be answered at the moment."""


class RefusedError(BadRequestError):
    """A request that no route works on; each refusal has a status of its own.

    Parameters
    ----------
    status : int, the HTTP status, for example 403.
    sentence : str, the reason, and what to do.
    headers : dict of str, additional headers of the answer.
    """

    def __init__(self, status: int, sentence: str, **headers: str) -> None:
        super().__init__(sentence)
        self.status = status
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


def answer(values: Any, status: int = 200) -> Response:
    """Return an answer with JSON; a number that is none becomes null."""
    return Response(to_json(values, inf_nan_mode="null"), status, media_type="application/json")


def answer_error(status: int, sentence: str, headers: dict[str, str] | None = None) -> Response:
    """Return an answer with an error's sentence, as `{"error": …}` and, percent-encoded, in a header for our server.

    Label Studio shows the reason phrase of the status line and never the body of an error. Our server moves the text of
    the header there.
    """
    sentence = safe_line(sentence)
    return Response(
        to_json({"error": sentence}),
        status,
        {**(headers or {}), ERROR_HEADER.decode(): quote(reason_phrase(sentence), safe=" ")},
        media_type="application/json",
    )


def answer_mistake(error: SamInspectError) -> Response:
    """Return the answer to a request that cannot be answered; after a 503, a client may ask again."""
    headers = dict(error.headers) if isinstance(error, RefusedError) else {}
    if error.status == 503:
        headers.setdefault("Retry-After", _RETRY_AFTER)
    return answer_error(error.status, for_annotators(error), headers)
