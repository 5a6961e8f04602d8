"""Download of one large file, resumed after a break. The caller checks the content."""

from __future__ import annotations

import logging
import os
import re
import ssl
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx

from sam_backend.certificates import trusted_certificates
from sam_backend.errors import WeightsError
from sam_backend.segmenters.byte_progress import byte_progress

log = logging.getLogger(__name__)

# Seconds between attempts without a new byte; an attempt that brings some starts the list again.
PAUSES = (0.5, 1.0, 2.0, 4.0)

TIMEOUT = httpx.Timeout(30.0, connect=15.0)
_TRANSIENT = (408, 429, 500, 502, 503, 504)


class _BreakError(Exception):
    """The transfer stopped for a reason that may pass."""


class _RefusalError(Exception):
    """The transfer stopped for a reason that will not pass."""


def fetch(
    url: str,
    part: Path,
    size: int,
    certificates: ssl.SSLContext | None = None,
    headers: Mapping[str, str] | None = None,
) -> None:
    """Fetch `url` into `part`; continue where an earlier attempt of this or another process stopped.

    Parameters
    ----------
    url : str, the address of the file.
    part : Path, the file to write; its ETag is kept beside it, as `<part>.etag`, until it is complete.
    size : int, the size of the whole file in bytes.
    certificates : ssl.SSLContext, which servers are trusted; None for the default.
    headers : headers of each request, such as a token; another server to which a request is sent on does not get them.

    Raises
    ------
    WeightsError
        If the server cannot be reached, refuses, breaks off repeatedly or sends a file of another size.
    OSError
        If the file cannot be written.
    """
    instead = f"to go on without the network, put {url.rpartition('/')[2]} ({size / 1e6:.0f} MB) into {part.parent}"
    try:
        if _length(part) > size:
            part.unlink()
        _fetch(url, part, size, certificates or trusted_certificates(), headers or {})
        _etag_file(part).unlink(missing_ok=True)
    except _RefusalError as error:
        raise WeightsError(f"Cannot download {url}: {error}; {instead}.") from error


def _fetch(url: str, part: Path, size: int, certificates: ssl.SSLContext, headers: Mapping[str, str]) -> None:
    pauses = iter(PAUSES)
    start = furthest = _length(part)
    options: dict[str, Any] = {"follow_redirects": True, "timeout": TIMEOUT, "verify": certificates, "headers": headers}
    with byte_progress() as progress, httpx.Client(**options) as client:
        task = progress.add_task(f"Downloading {url.rpartition('/')[2]}", total=size, completed=start)
        while _length(part) < size:
            try:
                for done in _transfer(client, url, part, size):
                    progress.update(task, completed=done)
            except httpx.InvalidURL as error:
                raise _RefusalError(str(error).rstrip(".")) from error
            except (_BreakError, httpx.RequestError) as error:
                # Without a single byte the machine is offline: report it at once.
                offline = furthest == start and isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
                if _length(part) > furthest:
                    furthest, pauses = _length(part), iter(PAUSES)
                pause = next(pauses, None)
                if offline or pause is None:
                    raise _RefusalError(str(error).rstrip(".") or type(error).__name__) from error
                log.warning("The download of %s broke off (%s); going on at byte %d", url, error, _length(part))
                time.sleep(pause)


def _transfer(client: httpx.Client, url: str, part: Path, size: int) -> Iterator[int]:
    """Make one request for the missing bytes; yield the length of `part` as it grows."""
    offset = _length(part)
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={offset}-"} if offset else {})
    with client.stream("GET", url, headers=headers) as response:
        if response.is_redirect or response.status_code in _TRANSIENT:
            raise _BreakError(_status(response))
        if response.status_code == 416 or (response.status_code == 206 and not _continues(response, part)):
            part.unlink(missing_ok=True)
            raise _BreakError("the server does not have the file that the first bytes came from any more")
        if response.status_code not in (200, 206):
            raise _RefusalError(_status(response))
        if (total := _total(response)) not in (None, size):
            raise _RefusalError(f"expected a file of {size} bytes, the server has one of {total}")
        if response.status_code == 200:
            # A server that cannot resume answers 200 too.
            _etag_file(part).write_text(response.headers.get("ETag", ""))
        with part.open("ab" if response.status_code == 206 else "wb") as file:
            for chunk in response.iter_raw():
                file.write(chunk)
                if file.tell() > size:
                    raise _RefusalError(f"expected a file of {size} bytes, the server sends more")
                yield file.tell()
            file.flush()
            os.fsync(file.fileno())
    if _length(part) < size:
        raise _BreakError(f"the server stopped at byte {_length(part)} of {size}")


def _continues(response: httpx.Response, part: Path) -> bool:
    """Return whether a partial answer begins where `part` ends and belongs to the same file."""
    asked = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    etag, etag_file = response.headers.get("ETag"), _etag_file(part)
    before = etag_file.read_text() if etag_file.exists() else ""
    return asked is not None and int(asked[1]) == _length(part) and (not before or not etag or before == etag)


def _total(response: httpx.Response) -> int | None:
    """Return the size of the whole file that the server states, or None."""
    stated = response.headers.get("Content-Range" if response.status_code == 206 else "Content-Length", "")
    digits = stated.rpartition("/")[2]
    return int(digits) if digits.isdigit() else None


def _status(response: httpx.Response) -> str:
    return f"the server answered {response.status_code} {response.reason_phrase}".rstrip()


def _etag_file(part: Path) -> Path:
    return part.with_name(part.name + ".etag")


def _length(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0
