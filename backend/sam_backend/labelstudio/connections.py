"""Connections within a deadline, to addresses that were checked after the name was resolved."""

from __future__ import annotations

import ipaddress
import queue
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

import httpcore

from sam_backend.labelstudio.addresses import Origin
from sam_backend.safe_text import escape_unprintable

_CHUNK = 2**16
_MAX_ADDRESSES = 8


class TransportError(Exception):
    """A request has no answer; its text says why, as the end of a sentence."""


class RefusedAddressError(TransportError):
    """An address may not be followed."""


class UnknownNameError(TransportError):
    """A host name has no address."""


class TooSlowError(TransportError):
    """The deadline passed."""


class FetchDeadline:
    """A moment until which everything must be done."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._end = time.monotonic() + seconds

    def remaining(self) -> float:
        """Return the seconds that are left; raises TooSlowError if there are none."""
        left = self._end - time.monotonic()
        if left <= 0:
            raise TooSlowError(f"did not come within {self.seconds:g} s")
        return left


class CheckedNetwork(httpcore.NetworkBackend):
    """Connects to the addresses that a function allows for a host, within a deadline."""

    def __init__(self, addresses: Callable[[str, int], list[str]], deadline: FetchDeadline) -> None:
        self._addresses = addresses
        self._deadline = deadline

    def connect_tcp(  # noqa: D102 - as in httpcore
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        addresses = self._addresses(host, port)
        for left in range(len(addresses), 0, -1):
            address = addresses[len(addresses) - left]
            try:
                patience = self._deadline.remaining() / left
                return _Stream(httpcore.SyncBackend().connect_tcp(address, port, patience), self._deadline)
            except (httpcore.NetworkError, httpcore.TimeoutException):
                if left == 1:
                    raise
        raise TransportError(f"could not be fetched: {escape_unprintable(host)} has no address")


class _Stream(httpcore.NetworkStream):
    """A connection whose every step gets the time that is left."""

    def __init__(self, stream: httpcore.NetworkStream, deadline: FetchDeadline) -> None:
        self._stream = stream
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, self._deadline.remaining())

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        for start in range(0, len(buffer), _CHUNK):
            self._stream.write(buffer[start : start + _CHUNK], self._deadline.remaining())

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        return _Stream(self._stream.start_tls(ssl_context, server_hostname, self._deadline.remaining()), self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


@dataclass(frozen=True)
class Proxy:
    """A proxy, and the user and password that it alone gets."""

    url: str
    credentials: tuple[str, str] | None = field(repr=False)


def environment_proxy(origin: Origin) -> Proxy | None:
    """Return the proxy that the environment names for an address; its user and password go to it alone."""
    proxies = getproxies()
    given = proxies.get(origin.scheme) or proxies.get("all")
    if not given or proxy_bypass(f"{origin.host}:{origin.port}") or proxy_bypass(origin.host):
        return None
    parts = urlsplit(given if "://" in given else f"http://{given}")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise TransportError("could not be fetched: the proxy of the environment is not http:// or https://")
    credentials = (unquote(parts.username), unquote(parts.password or "")) if parts.username else None
    return Proxy(f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}", credentials)


def resolve(host: str, port: int, deadline: FetchDeadline) -> list[str]:
    """Return the IP addresses of a host, at most 8.

    Raises
    ------
    UnknownNameError
        If it has none.
    TooSlowError
        If the answer does not come within the deadline.
    """
    try:
        return [str(ipaddress.ip_address(host.partition("%")[0]))]
    except ValueError:
        pass
    answers: queue.SimpleQueue[list[str] | OSError] = queue.SimpleQueue()

    def ask() -> None:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            answers.put(list(dict.fromkeys(str(address[0]) for *_, address in found))[:_MAX_ADDRESSES])
        except (OSError, UnicodeError) as error:
            answers.put(OSError(type(error).__name__))

    # The system has its own idea of how long to ask for a name, so that another thread waits for it.
    threading.Thread(target=ask, name="resolve", daemon=True).start()
    try:
        addresses = answers.get(timeout=deadline.remaining())
    except queue.Empty:
        deadline.remaining()
        raise TooSlowError(f"did not come within {deadline.seconds:g} s") from None
    if isinstance(addresses, OSError) or not addresses:
        raise UnknownNameError(f"could not be fetched: the name {escape_unprintable(host)} is not known")
    return addresses
