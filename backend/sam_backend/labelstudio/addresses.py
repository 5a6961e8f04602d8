"""Addresses of Label Studio and of images: normalised, compared, and shown without what could be secret."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from sam_backend.errors import BadRequestError
from sam_backend.safe_text import safe_line

DEFAULT_PORTS = {"http": 80, "https": 443}

_SECRET_PART = re.compile(
    r"(?i)\b((?:[\w-]*(?:token|signature|password|passwd|secret|credential|session_?id|api_?key|access_?key))|sig|key)"
    r"(=|:)[^/;&\s]+"
)
_PAGE = re.compile(r"(.*)#page=([0-9]{1,6})", re.DOTALL)
_MAX_SHOWN = 200
_MAX_ADDRESS = 1000
_MAX_SEGMENTS = 16


@dataclass(frozen=True)
class Origin:
    """Scheme, host and port of an address; two addresses with one origin reach the same server.

    Attributes
    ----------
    scheme : str, "http" or "https".
    host : str, lower case, without brackets.
    port : int.
    """

    scheme: str
    host: str
    port: int

    @classmethod
    def of(cls, url: str) -> Origin | None:
        """Return the origin of an address; None if it is no address over HTTP."""
        parts = split(url)
        scheme = parts.scheme.lower()
        try:
            host, port = parts.hostname, parts.port
        except ValueError:
            return None
        if scheme not in DEFAULT_PORTS or not host or not _is_host(host):
            return None
        return cls(scheme, host.rstrip("."), DEFAULT_PORTS[scheme] if port is None else port)

    def accepts(self, other: Origin) -> bool:
        """Return whether a credential for this origin may go to another: the same one, or its own step up to https."""
        upgrade = Origin("https", self.host, 443)
        return other == self or (self.scheme == "http" and self.port == 80 and other == upgrade)


def literal_origin(template: str) -> Origin | None:
    """Return the origin that the `value` of an Image tag names itself, before its first variable; None without one."""
    match = re.match(r"(?i)https?://[^/$?#\\\s]+/", template)
    return Origin.of(match[0]) if match else None


def split(url: str) -> SplitResult:
    """Return the parts of an address; of a malformed one, everything is the path."""
    try:
        return urlsplit(url)
    except ValueError:
        return SplitResult("", "", url, "", "")


def label_studio_address(text: str, what: str, error: Callable[[str], Exception] = BadRequestError) -> str:
    """Return the normalised address of a Label Studio: `http(s)://host[:port][/prefix]` without a slash at the end.

    Parameters
    ----------
    text : str, the address as somebody gave it.
    what : str, names it in a message, for example "SAM_INSPECT_LABEL_STUDIO_URL".
    error : callable, makes the exception of a sentence.

    Raises
    ------
    Exception
        That `error` makes, if it is no address over HTTP, or has parts that an address of Label Studio never has.
    """
    text = text.strip()
    parts = split(text)
    if parts.scheme.lower() not in DEFAULT_PORTS or "://" not in text:
        example = text if re.fullmatch(r"[\w.-]+(:\d+)?(/[\w./-]*)?", text) else "labels.example.com:8080"
        raise error(
            f"{what} is {shown(text)!r}; it must start with http:// or https://, for example http://{example.rstrip('/')}."
        )
    origin = Origin.of(text)
    if origin is None or re.search(r"[\s\\%<>\"^`{|}]", text):
        raise error(f"{what} is {shown(text)!r}, which is no address; the form is http://labels.example.com:8080.")
    if "@" in parts.netloc or "?" in text or "#" in text:
        raise error(
            f"{what} is {shown(text)!r} with a user, a query or a fragment, which an address of Label Studio does not "
            "have; the form is http://labels.example.com:8080."
        )
    segments = [segment for segment in parts.path.split("/") if segment]
    if len(text) > _MAX_ADDRESS or not parts.path.isascii():
        raise error(f"{what} is {shown(text)!r}, which is longer or stranger than an address of Label Studio.")
    if any(segment in (".", "..") or ";" in segment for segment in segments):
        raise error(f"{what} is {shown(text)!r}; its path must be the plain prefix that Label Studio is served under.")
    host = f"[{origin.host}]" if ":" in origin.host else origin.host
    port = "" if origin.port == DEFAULT_PORTS[origin.scheme] else f":{origin.port}"
    return "/".join([f"{origin.scheme}://{host}{port}", *segments])


def shown(url: str) -> str:
    """Return an address for a message: shortened, on one line, without user, password, query and what looks secret.

    The query of a local file of Label Studio stays, because it names the file.
    """
    if url[:5].lower() == "data:":
        return safe_line(url.partition(",")[0][:60]) + ",…"
    parts = split(url)
    where = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}" if parts.scheme and parts.netloc else ""
    scheme = f"{parts.scheme}:" if parts.scheme and not where else ""
    path = parts.path
    if not where and "@" in path and "/" not in path:
        path = path.rpartition("@")[2]
    path = _shorter(path)
    names = [value for name, value in parse_qsl(parts.query) if name == "d"]
    query = f"?d={_shorter(names[-1])}" if "/data/local-files" in parts.path and names else ""
    return shortened(_SECRET_PART.sub(r"\1\2***", safe_line(f"{where}{scheme}{path}{query}")))


def _shorter(path: str) -> str:
    """Shorten a path before it is searched for secrets, without cutting one into two."""
    segments = [part if len(part) <= _MAX_SHOWN else f"{part[:100]}…" for part in path.split("/")]
    if len(segments) > _MAX_SEGMENTS:
        half = _MAX_SEGMENTS // 2
        segments = [*segments[:half], "…", *segments[-half:]]
    return "/".join(segments)


def shortened(text: str) -> str:
    """Return at most 200 characters of a text: its beginning and its end."""
    return text if len(text) <= _MAX_SHOWN else f"{text[:100]}…{text[-99:]}"


def steps_out(path: str) -> bool:
    """Return whether a path has a step to its parent or itself, however it is encoded, or a backslash.

    Servers differ in how often they decode a path, and in what they do with `;`, so every reading is tried.
    """
    for _ in range(5):
        if "\\" in path or any(segment.partition(";")[0].strip() in (".", "..") for segment in path.split("/")):
            return True
        path, before = unquote(path), path
        if path == before:
            return False
    return True


def _is_host(host: str) -> bool:
    try:
        return bool(host.encode("idna") if not host.isascii() else re.fullmatch(r"[\w.:-]+(%\w+)?", host))
    except UnicodeError:
        return False


def with_page(url: str, page: int) -> str:
    """Return an address with a page of its file, in place of one that it names: `/data/upload/1/stack.tif#page=3`."""
    return f"{split_page(url)[0]}#page={page}"


def split_page(url: str) -> tuple[str, int | None]:
    """Return an address without its page, and the page, None without one."""
    found = _PAGE.fullmatch(url)
    return (found[1], int(found[2])) if found else (url, None)
