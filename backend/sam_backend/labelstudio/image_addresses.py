"""What the address of an image means: a request to Label Studio, one to another server, or a file of this machine."""

from __future__ import annotations

import base64
import os
import posixpath
import re
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISREG
from urllib.parse import parse_qs, quote, unquote, urlsplit

from sam_backend.errors import BadRequestError
from sam_backend.labelstudio.addresses import Origin, shown, split, steps_out
from sam_backend.labelstudio.allowed_hosts import AllowedHosts
from sam_backend.labelstudio.servers import Server
from sam_backend.labelstudio.transport import encoded

_CLOUD = ("s3", "gs", "azure-blob")
_FILES = re.compile(
    r"/data/upload/.+|/data/local-files/?|/data/avatars/.+|/storage-data/uploaded/?"
    r"|/(tasks|projects)/\d+/(presign|resolve)/?"
)
"""Paths under which Label Studio serves files, below the prefix that it is served under. Only they get its token."""

_LOOPBACK = re.compile(r"localhost|.+\.localhost|127\.\d+\.\d+\.\d+|::1|0\.0\.0\.0|::|host\.docker\.internal")

_MAX_ADDRESS = 2**16
_ROOTS = tuple(f"{prefix}LOCAL_FILES_DOCUMENT_ROOT" for prefix in ("LABEL_STUDIO_", "HEARTEX_", ""))
"""Variables of Label Studio that name the folder of its local files."""


@dataclass(frozen=True)
class ImageSource:
    """Where an image is fetched from.

    Attributes
    ----------
    urls : tuple of str, addresses to try in this order; empty for a file.
    own : Origin, the server that the project itself names, its Label Studio; None for other servers.
    file : Path, the file of this machine; None for a request.
    """

    urls: tuple[str, ...] = ()
    own: Origin | None = None
    file: Path | None = None


def image_source(
    url: str,
    server: Server | None,
    task: int | str | None,
    allowed: AllowedHosts,
    configured: Origin | None = None,
) -> ImageSource:
    """Return where an image is fetched from.

    Label Studio stores the address of its own file in several ways: from the root, below the prefix that it is served
    under, or with the host that it has for its users, `http://localhost:8080` in Docker. All of them mean the
    Label Studio that is known here.

    Parameters
    ----------
    url : str, as in the task.
    server : Server, the Label Studio of the task; None if it is unknown.
    task : id of the task, needed for cloud storage.
    allowed : AllowedHosts, the hosts that the operator names are taken by their own names.
    configured : Origin, the server that the project's labeling config itself names, which the project trusts as it
        trusts its Label Studio.

    Raises
    ------
    BadRequestError
        If the address is of a kind that is not followed, steps out of the files of Label Studio, or needs a
        Label Studio that is unknown.
    """
    if len(url) > _MAX_ADDRESS or not _is_unicode(url):
        raise BadRequestError(f"The image address {shown(url)} is no address; it is too long, or not Unicode.")
    parts = split(url)
    scheme = parts.scheme.lower()
    if scheme in _CLOUD:
        known = _needed(url, server)
        fileuri = base64.urlsafe_b64encode(url.encode()).decode()
        return _at(known, f"/tasks/{_task_number(url, task)}/presign/", f"fileuri={fileuri}")
    origin = Origin.of(url)
    if origin is None and (scheme or parts.netloc):
        raise _unfollowed(url)
    path = parts.path if origin or parts.path.startswith("/") else f"/{parts.path}"
    if origin is None and path.startswith("/upload/"):
        path = f"/data{path}"
    inside = _path_in_label_studio(path, server)
    if origin is None:
        if inside is None or steps_out(path):
            raise _unfollowed(url)
    elif inside is None or not _means_label_studio(origin, server, allowed):
        own = Origin.of(server.hostname) if server else None
        return ImageSource((encoded(url),), origin if origin in (own, configured) else None)
    if steps_out(path):
        raise BadRequestError(
            f"The image address {shown(url)} steps out of the files of Label Studio; remove the '..'."
        )
    if file := _local_file(url, inside, parts.query):
        return ImageSource(file=file)
    if origin and server and not server.token and origin == Origin.of(server.hostname):
        # Perhaps it can be fetched without a token.
        return ImageSource((encoded(url),), origin)
    return _at(_needed(url, server), inside, parts.query)


def is_file_of_label_studio(url: str, server: Server) -> bool:
    """Return whether an address is that of a file of this Label Studio, so that it may get its token."""
    path = urlsplit(url).path
    return _path_in_label_studio(path, server) is not None and not steps_out(path)


def _path_in_label_studio(path: str, server: Server | None) -> str | None:
    """Return the path below Label Studio's prefix if files are served there; None for other paths."""
    collapsed = re.sub("/{2,}", "/", unquote(path))
    addresses = (server.announced, server.hostname) if server else ()
    for prefix in sorted({split(address).path.rstrip("/") for address in addresses} | {""}, key=len, reverse=True):
        inside = collapsed.removeprefix(prefix)
        if collapsed.startswith(f"{prefix}/") and _FILES.fullmatch(inside):
            return quote(inside, safe="/:@!$&'()*+,=~")
    return None


def _means_label_studio(origin: Origin, server: Server | None, allowed: AllowedHosts) -> bool:
    """Return whether an absolute address of a file of Label Studio means the one that is known."""
    if server is None:
        return False
    if origin in (Origin.of(server.hostname), Origin.of(server.announced)):
        return True
    return bool(_LOOPBACK.fullmatch(origin.host)) and not allowed.named(origin.host, origin.port)


def _at(server: Server, path: str, query: str) -> ImageSource:
    base = server.hostname
    urls = [encoded(f"{base}{path}" + (f"?{query}" if query else ""))]
    stored = parse_qs(query).get("filepath", [""])[-1]
    if path.startswith("/storage-data/"):
        stored = stored.removeprefix("/").removeprefix("data/")
        if not stored.startswith("upload/") or steps_out(stored):
            raise BadRequestError(
                f"The image address {shown(base + path)} names a file that is no upload; "
                "'filepath' must start with upload/."
            )
        # A Label Studio that keeps uploads on its own disk serves them here alone.
        urls.append(encoded(f"{base}/data/{quote(stored)}"))
    return ImageSource(tuple(urls), Origin.of(base))


def _is_unicode(url: str) -> bool:
    try:
        url.encode()
    except UnicodeEncodeError:
        return False
    return True


def _needed(url: str, server: Server | None) -> Server:
    if server is None or not server.token:
        raise BadRequestError(
            f"The image {shown(url)} lies in a Label Studio whose {'token' if server else 'address'} is not "
            "known here; connect this model to the project again, or set SAM_INSPECT_LABEL_STUDIO_URL and "
            "SAM_INSPECT_LABEL_STUDIO_API_KEY."
        )
    return server


def _task_number(url: str, task: int | str | None) -> int:
    if task is None:
        raise BadRequestError(f"The image {shown(url)} in a cloud storage needs the task's id; it is missing.")
    if not re.fullmatch(r"[0-9]{1,18}", str(task)):
        raise BadRequestError(f"The image {shown(url)} in a cloud storage needs the task's id, which must be a number.")
    return int(task)


def _unfollowed(url: str) -> BadRequestError:
    return BadRequestError(
        f"The image address {shown(url)} cannot be followed; it must start with http://, https://, s3://, "
        "gs://, azure-blob://, data: or, for files in Label Studio, /data/."
    )


def _local_file(url: str, path: str, query: str) -> Path | None:
    """Return the file of a local storage that this machine shares with Label Studio, as LOCAL_FILES_DOCUMENT_ROOT says.

    Raises
    ------
    BadRequestError
        If it lies outside that folder, also through a link.
    """
    given = next((os.environ[name] for name in _ROOTS if os.environ.get(name)), None)
    if not given or not path.startswith("/data/local-files"):
        return None
    root = Path(given).resolve()
    name = parse_qs(query).get("d", [""])[-1]
    # The whole disk is no folder of images.
    if root == Path(root.anchor) or not name or "\0" in name:
        return None
    try:
        file = (root / posixpath.normpath(name).lstrip("/")).resolve()
        # From Python 3.13 on, `resolve` and `is_file` pass over links in a circle.
        is_file = S_ISREG(file.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        is_file = False
    except (OSError, RuntimeError):
        raise BadRequestError(f"The image {shown(url)} cannot be found below LOCAL_FILES_DOCUMENT_ROOT.") from None
    if not file.is_relative_to(root):
        raise BadRequestError(f"The image {shown(url)} lies outside LOCAL_FILES_DOCUMENT_ROOT; put it there.")
    return file if is_file else None
