"""HTTP/1.1 for our server: sentences in the status line, deadlines for what clients send and read, few connections."""

from __future__ import annotations

import asyncio
import logging
import socket
from typing import Any, ClassVar
from urllib.parse import unquote

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from sam_backend.service.answers import ERROR_HEADER
from sam_backend.service.log_tally import Tally

logger = logging.getLogger(__name__)

_uvicorn_logger = logging.getLogger("uvicorn.error.protocol")
_uvicorn_logger.setLevel(logging.ERROR)  # Its warnings have a line for each bad request; ours are counted.

_HEAD_SECONDS = 10.0
"""Time from a connection's first moment, or a further request's first byte, to the end of the request's headers."""

_READ_SECONDS = 30.0
"""Time without progress after which a client that does not read its answer is cut off."""

_QUICK_ACK: int | None = getattr(socket, "TCP_QUICKACK", None)  # Linux has it.

_BUSY = (
    b"HTTP/1.1 503 The backend has too many open connections; try again in a few seconds.\r\n"
    b"Retry-After: 5\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
)


class SentenceProtocol(H11Protocol):
    """HTTP whose status line has an error's own sentence as the reason phrase, which Label Studio shows.

    A client that sends half a request, or does not read its answer, is dropped. Beyond `max_connections`, the oldest
    connection that has no whole request is closed; if all have one, the new connection is refused.
    """

    max_connections: ClassVar[int] = 1024
    tally: ClassVar[Tally] = Tally(logger)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.conn = _SentenceConnection(h11.SERVER)
        self.logger = _uvicorn_logger
        self._head_timer: asyncio.TimerHandle | None = None
        self._read_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        """Accept a connection, or refuse it."""
        if len(self.connections) >= self.max_connections and not self._close_an_idle_one():
            self.tally.add("A connection was refused, since all are in use.")
            transport.write(_BUSY)
            transport.close()
            # The events that follow find no connection.
            self.transport = transport
            return
        # asyncio does so only for sockets that name their protocol, and those of `socket.create_server` do not. Without
        # it, the end of an answer waits 40 ms for the client to acknowledge its beginning.
        self._socket: socket.socket = transport.get_extra_info("socket")
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        super().connection_made(transport)
        self._start_head_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget a connection."""
        self._stop_head_timer()
        self._stop_read_timer()
        if self in self.connections:
            super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read what a client sent."""
        if self.transport.is_closing():
            return
        super().data_received(data)
        if _QUICK_ACK is not None and self.cycle is not None and self.cycle.more_body:
            # A client with Nagle's algorithm sends the body once the headers are acknowledged, by default after 40 ms.
            self._socket.setsockopt(socket.IPPROTO_TCP, _QUICK_ACK, 1)
        if self.is_idle and not self.transport.is_closing():
            self._start_head_timer()
        else:
            self._stop_head_timer()

    def pause_writing(self) -> None:
        """Wait until the client has read, for a while."""
        super().pause_writing()
        self._read_timer = self.loop.call_later(_READ_SECONDS, self._cut_off)

    def resume_writing(self) -> None:
        """Go on, since the client has read."""
        self._stop_read_timer()
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        """Answer what is not HTTP."""
        self.tally.add("A client sent what is not HTTP.")
        super().send_400_response(msg)

    @property
    def is_idle(self) -> bool:
        """Whether no request is being answered: none came yet, or not all of its headers."""
        return self.cycle is None or self.cycle.response_complete

    def drop(self) -> None:
        """Close the connection, because its request did not come."""
        self.tally.add("A connection was closed, since no whole request came on it.")
        self.transport.abort()

    def _close_an_idle_one(self) -> bool:
        # The oldest first: that of an honest client is new.
        others = (other for other in self.connections if isinstance(other, SentenceProtocol) and other.is_idle)
        oldest = min(others, key=lambda other: other.since, default=None)
        if oldest is None:
            return False
        self.connections.discard(oldest)
        oldest.drop()
        return True

    def _start_head_timer(self) -> None:
        if self._head_timer is None:
            self.since = self.loop.time()
            self._head_timer = self.loop.call_later(_HEAD_SECONDS, self.drop)

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _stop_read_timer(self) -> None:
        if self._read_timer is not None:
            self._read_timer.cancel()
            self._read_timer = None

    def _cut_off(self) -> None:
        self.tally.add("A client was cut off, since it did not read its answer.")
        self.transport.abort()


def limited_protocol(connections: int) -> type[SentenceProtocol]:
    """Return the protocol for one server with a limit of connections."""
    return type("LimitedProtocol", (SentenceProtocol,), {"max_connections": connections, "tally": Tally(logger)})


class _SentenceConnection(h11.Connection):
    def send(self, event: h11.Event) -> bytes | None:  # type: ignore[override]  # overloads that differ in None only
        if isinstance(event, h11.Response):
            headers = event.headers.raw_items()
            sentence = next((value for name, value in headers if name.lower() == ERROR_HEADER), None)
            if sentence:
                event = h11.Response(
                    status_code=event.status_code,
                    headers=[item for item in headers if item[0].lower() != ERROR_HEADER],
                    reason=unquote(sentence).encode("latin-1"),
                )
        return super().send(event)
