"""The bodies of requests: read up to a limit, and parsed into the messages of Label Studio."""

from __future__ import annotations

from pydantic_core import from_json
from starlette.requests import Request

from sam_backend.errors import BadRequestError
from sam_backend.labelstudio.messages import Message, parse_message

MAX_BODY_BYTES = 256 * 2**20
"""An interactive request carries every mask of its task, which can be tens of megabytes."""


class BodyTooLargeError(BadRequestError):
    """A body is larger than `MAX_BODY_BYTES` (HTTP 413)."""

    status = 413


async def read_body(request: Request) -> bytes:
    """Read a request's body to its end.

    Raises
    ------
    BodyTooLargeError
        If it has more than `MAX_BODY_BYTES`. The rest is read and dropped, because a client that cannot send its whole
        body does not read the answer.
    """
    body = bytearray()
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size <= MAX_BODY_BYTES:
            body += chunk
        else:
            body.clear()
    if size > MAX_BODY_BYTES:
        raise BodyTooLargeError(f"The body has {size >> 20} MiB; at most {MAX_BODY_BYTES >> 20} MiB are taken.")
    return bytes(body)


def parse_body(body: bytes, kind: type[Message]) -> Message:
    """Parse JSON into a message of the given class.

    Raises
    ------
    BadRequestError
        If it is not JSON, or a field is missing or has the wrong type.
    """
    try:
        # Faster than `model_validate_json`: integers of the masks, which are not read, stay cheap.
        values = from_json(body)
    except ValueError as error:
        raise BadRequestError(f"The body must be JSON; it is not: {error}.") from None
    return parse_message(values, kind)
