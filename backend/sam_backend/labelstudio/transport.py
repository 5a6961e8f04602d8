"""HTTP with one deadline for everything, limits of size, and a check of every address that is connected to."""

from __future__ import annotations

import base64
import re
import ssl
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import quote, unquote, urljoin, urlsplit

import httpcore

from sam_backend.certificates import SETTING as CA_BUNDLE
from sam_backend.certificates import trusted_certificates
from sam_backend.labelstudio.addresses import DEFAULT_PORTS, Origin
from sam_backend.labelstudio.allowed_hosts import SETTING as ALLOW_HOST
from sam_backend.labelstudio.allowed_hosts import AllowedHosts, may_be_label_studio
from sam_backend.labelstudio.connections import (
    CheckedNetwork,
    FetchDeadline,
    RefusedAddressError,
    TransportError,
    UnknownNameError,
    environment_proxy,
    resolve,
)
from sam_backend.labelstudio.http_bodies import read_body
from sam_backend.safe_text import escape_unprintable
from sam_backend.settings import Settings

MAX_REDIRECTS = 5
AT_ONCE = 16
"""Requests to one host at the same time."""

_PATIENCE = 0.25
"""Share of the deadline within which a request waits for its turn at a host."""

_REDIRECTS = (301, 302, 303, 307, 308)
_USER_AGENT = "Mozilla/5.0 (compatible; sam-inspect)"


@dataclass(frozen=True)
class HttpRequest:
    """A request.

    Attributes
    ----------
    url : str, `http(s)://…`, encoded.
    own : Origin, the project's own Label Studio, which may have a private address; None for addresses of others.
    credential : callable, returns the Authorization header for an address of `own`, or None for none. No other origin
        gets it.
    method : str, "GET" and so on.
    body : bytes.
    content_type : str, of the body.
    """

    url: str
    own: Origin | None = None
    credential: Callable[[str], str | None] = field(default=lambda url: None, repr=False)
    method: str = "GET"
    body: bytes | None = field(default=None, repr=False)
    content_type: str = "application/json"


@dataclass(frozen=True)
class HttpAnswer:
    """An answer: its address after redirections, status, headers with lower-case names, and decoded body.

    The body of a refusal is empty.
    """

    url: str
    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)

    @property
    def is_success(self) -> bool:
        """Whether the status says success."""
        return 200 <= self.status < 300


class Transport:
    """Sends requests, one connection each. Safe to share between threads.

    Parameters
    ----------
    allowed : AllowedHosts, what requests may reach beside the Label Studio that they name; None for
        public hosts alone.
    certificates : ssl.SSLContext, which servers are trusted; None for the default.
    """

    def __init__(self, allowed: AllowedHosts | None = None, certificates: ssl.SSLContext | None = None) -> None:
        self.allowed = allowed or AllowedHosts()
        self._certificates = certificates
        self._hosts = _Turns(AT_ONCE)

    @classmethod
    def of_settings(cls, settings: Settings) -> Self:
        """Create a transport from the settings; raises SamInspectError if one of them is wrong."""
        return cls(AllowedHosts.parse(settings.allow_host), trusted_certificates(settings.ca_bundle))

    def send(self, request: HttpRequest, deadline: FetchDeadline, max_bytes: int) -> HttpAnswer:
        """Send a request and follow redirections; return the whole answer.

        Parameters
        ----------
        request : HttpRequest.
        deadline : FetchDeadline, for names, connections, TLS, headers, bodies and redirections together.
        max_bytes : int, the largest body, before and after decoding.

        Raises
        ------
        RefusedAddressError
            If the address, or one that it leads to, may not be reached.
        TooSlowError
            If the deadline passes.
        TransportError
            If there is no whole answer for another reason.
        """
        url, own = request.url, request.own
        for _ in range(MAX_REDIRECTS + 1):
            origin = Origin.of(url)
            if origin is None:
                raise RefusedAddressError("leads to an address that is not http:// or https://")
            # A redirection away from Label Studio ends its rights, also if it leads back.
            own = origin if own and own.accepts(origin) else None
            parts = urlsplit(url)
            # A credential may need a request of its own, so it is made before this one takes its turn.
            authorization = request.credential(url) if own else _basic(parts.username, parts.password)
            with self._hosts.turn(origin.host, deadline):
                answer = self._send_once(request, url, origin, own, authorization, deadline, max_bytes)
            location = answer.headers.get("location")
            if answer.status not in _REDIRECTS or location is None:
                return answer
            url = _joined(url, location)
            target = Origin.of(url)
            # What is written stays with its server, as the credential does.
            stays = answer.status in (307, 308) and own and target and own.accepts(target)
            if request.method != "GET" and not stays:
                raise TransportError(f"redirects to {target.host if target else 'elsewhere'}; use that address")
        raise TransportError(f"redirects more than {MAX_REDIRECTS} times")

    def _send_once(
        self,
        request: HttpRequest,
        url: str,
        origin: Origin,
        own: Origin | None,
        authorization: str | None,
        deadline: FetchDeadline,
        max_bytes: int,
    ) -> HttpAnswer:
        parts = urlsplit(url)
        port = "" if origin.port == DEFAULT_PORTS[origin.scheme] else f":{origin.port}"
        host = f"[{origin.host}]" if ":" in origin.host else _ascii(origin.host)
        headers = [
            ("Host", host + port),
            ("User-Agent", _USER_AGENT),
            ("Accept-Encoding", "identity"),
            ("Connection", "close"),
        ]
        if authorization:
            headers.append(("Authorization", authorization))
        if request.body is not None:
            headers.append(("Content-Type", request.content_type))
        target = httpcore.URL(
            scheme=origin.scheme,
            host=_ascii(origin.host),
            port=origin.port,
            target=(parts.path or "/") + (f"?{parts.query}" if parts.query else ""),
        )
        try:
            with (
                self._pool(origin, own, deadline) as pool,
                pool.stream(request.method, target, headers=headers, content=request.body) as response,
            ):
                named = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers}
                body = b""
                if 200 <= response.status < 300:
                    body = read_body(response.iter_stream(), named, deadline, max_bytes)
                return HttpAnswer(url, response.status, named, body)
        except TransportError:
            raise
        except httpcore.TimeoutException:
            deadline.remaining()
            raise TransportError(f"could not be fetched: {origin.host} does not answer") from None
        except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.ProxyError, OSError, ValueError) as error:
            raise TransportError(_reason(error, origin)) from None

    def _pool(self, origin: Origin, own: Origin | None, deadline: FetchDeadline) -> httpcore.ConnectionPool:
        certificates = self._certificates or (trusted_certificates() if origin.scheme == "https" else None)
        proxy = environment_proxy(origin)
        if proxy is None:
            network = CheckedNetwork(lambda host, port: self._addresses(host, port, own, deadline), deadline)
            return httpcore.ConnectionPool(certificates, network_backend=network, max_connections=1)
        # The proxy resolves the name again; a name that only it knows is its own to judge.
        self._addresses(origin.host, origin.port, own, deadline, may_be_unknown=True)
        # The operator chose the proxy, so its address is not checked.
        network = CheckedNetwork(lambda host, port: resolve(host, port, deadline), deadline)
        return httpcore.HTTPProxy(
            proxy.url, proxy.credentials, ssl_context=certificates, network_backend=network, max_connections=1
        )

    def _addresses(
        self, host: str, port: int, own: Origin | None, deadline: FetchDeadline, *, may_be_unknown: bool = False
    ) -> list[str]:
        try:
            addresses = resolve(host, port, deadline)
        except UnknownNameError:
            if may_be_unknown:
                return []
            raise
        kept = [
            address
            for address in addresses
            if (own and may_be_label_studio(address)) or self.allowed.allows(host, address, port)
        ]
        if not kept:
            raise RefusedAddressError(
                f"lies at {escape_unprintable(host)}:{port}, which is neither public nor the project's "
                f"Label Studio; if images may be fetched there, set {ALLOW_HOST}={escape_unprintable(host)}"
                + ("" if self.allowed.allows("", "8.8.8.8", port) else f":{port}")
            )
        return kept


class _Turns:
    """Lets a number of requests at once go to each host; the others wait, but not for long."""

    def __init__(self, at_once: int) -> None:
        self._at_once = at_once
        self._running: Counter[str] = Counter()
        self._changed = threading.Condition()

    @contextmanager
    def turn(self, host: str, deadline: FetchDeadline) -> Iterator[None]:
        patience = min(deadline.remaining(), _PATIENCE * deadline.seconds)
        with self._changed:
            if not self._changed.wait_for(lambda: self._running[host] < self._at_once, patience):
                raise TransportError(
                    f"could not be fetched: {self._at_once} requests to {host} are running and none has "
                    f"ended within {patience:.1f} s; try again"
                )
            self._running[host] += 1
        try:
            yield
        finally:
            with self._changed:
                self._running[host] -= 1
                self._running += Counter()
                self._changed.notify_all()


def _joined(url: str, location: str) -> str:
    try:
        return encoded(urljoin(url, location))
    except ValueError:
        raise RefusedAddressError("leads to an address that cannot be read") from None


def encoded(url: str) -> str:
    """Return an address in which everything that HTTP does not take is per cent encoded, and nothing twice."""
    parts = urlsplit(url)
    path = quote(_lone_per_cents(parts.path), safe="/%:@!$&'()*+,;=~")
    query = quote(_lone_per_cents(parts.query), safe="/%:@!$&'()*+,;=~?[]")
    return parts._replace(path=path, query=query, fragment="").geturl()


def _lone_per_cents(text: str) -> str:
    return re.sub(r"%(?![0-9a-fA-F]{2})", "%25", text)


def _ascii(host: str) -> str:
    try:
        return host if host.isascii() else host.encode("idna").decode()
    except UnicodeError:
        raise RefusedAddressError("has a host name that does not exist") from None


def _basic(user: str | None, password: str | None) -> str | None:
    if user is None:
        return None
    return "Basic " + base64.b64encode(f"{unquote(user)}:{unquote(password or '')}".encode()).decode()


def _reason(error: Exception, origin: Origin) -> str:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return (
                f"could not be fetched: the certificate of {origin.host} is not trusted here "
                f"({escape_unprintable(cause.verify_message)}); if it is your company's own, set {CA_BUNDLE} to "
                "the file of its certificate authority"
            )
        cause = cause.__cause__ or cause.__context__
    if isinstance(error, httpcore.ConnectError):
        return f"could not be fetched: {origin.host}:{origin.port} cannot be reached (ConnectionError)"
    if isinstance(error, httpcore.ProxyError):
        return "could not be fetched: the proxy of the environment refused it"
    return "broke off while it was sent"
