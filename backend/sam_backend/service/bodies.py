"""The bodies of requests: read up to a limit and a deadline, and parsed into the messages of Label Studio."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.requests import ClientDisconnect, Request
from starlette.types import Message

from sam_backend.service.answers import RefusedError
from sam_backend.settings import Settings

MEBIBYTE = 2**20

SMALL_BODY = MEBIBYTE
"""Bytes of a body that is about a labeling config or a project, without masks."""

_PAUSE = 10.0
"""Seconds without a byte after which a body is given up."""

_TOTAL = 60.0
"""Seconds within which a whole body must come."""

_AT_ONCE = 4
"""Bodies of the largest size that are in memory at once, or as many bytes of smaller ones."""


class BodyReader:
    """Reads bodies; all of them together take a limited amount of memory.

    Parameters
    ----------
    settings : Settings, with the size of the largest body.
    """

    def __init__(self, settings: Settings) -> None:
        self.largest = settings.max_body_mb * MEBIBYTE
        self._free = _AT_ONCE * self.largest

    @asynccontextmanager
    async def read(self, request: Request, limit: int) -> AsyncIterator[bytearray]:
        """Read the JSON of a request to its end; its memory counts as taken until the block ends.

        Parameters
        ----------
        request : Request, whose body was not read yet.
        limit : int, the largest size in bytes.

        Raises
        ------
        RefusedError
            If it is not announced as JSON (415), has more than `limit` bytes (413), stops or takes too long (408), or
            the memory for bodies is taken (503).
        ClientDisconnect
            If the client has gone.
        """
        kind = request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise RefusedError(
                415,
                "The body must be JSON and say so; send the header Content-Type: application/json.",
                Connection="close",
            )
        body = bytearray()
        try:
            await self._fill(body, request, limit)
            yield body
        finally:
            self._free += len(body)

    async def _fill(self, body: bytearray, request: Request, limit: int) -> None:
        end, size, more = asyncio.get_running_loop().time() + _TOTAL, 0, True
        while more:
            message = await _next_message(request, end)
            chunk = message.get("body", b"")
            more = message.get("more_body", False)
            size += len(chunk)
            if size > limit:
                # The rest is read and dropped: a client that cannot send its whole body does not read the answer.
                self._free += len(body)
                body.clear()
                continue
            if len(chunk) > self._free:
                raise RefusedError(
                    503, "Too many large requests arrive at once; try again in a few seconds.", Connection="close"
                )
            self._free -= len(chunk)
            body += chunk
        if size > limit:
            raise RefusedError(
                413,
                f"The body has {size / MEBIBYTE:.1f} MiB; at most {limit / MEBIBYTE:g} MiB are taken here "
                "(SAM_INSPECT_MAX_BODY_MB for masks).",
            )


async def _next_message(request: Request, end: float) -> Message:
    pause = min(_PAUSE, end - asyncio.get_running_loop().time())
    try:
        message = await asyncio.wait_for(request.receive(), pause)
    except TimeoutError:
        raise RefusedError(
            408,
            f"The body stopped: no byte came for {_PAUSE:g} s, or the whole did not come within {_TOTAL:g} s; send it "
            "again.",
            Connection="close",
        ) from None
    if message["type"] == "http.disconnect":
        raise ClientDisconnect
    return message
