"""The images of tasks, fetched from the same places as Label Studio fetches them."""

from __future__ import annotations

import base64
import binascii
import io
import time
from typing import Any, Self
from urllib.parse import SplitResult, unquote_to_bytes, urlsplit

import requests
import urllib3
from label_studio_sdk._extensions.label_studio_tools.core.utils.io import (
    get_base64_content,
    http_session,
    is_cloud_storage_uri,
)
from requests.adapters import HTTPAdapter

from sam_backend.arrays import ImageArray
from sam_backend.errors import BadRequestError, ImageServerError
from sam_backend.labelstudio.client import AccessTokens
from sam_backend.labelstudio.servers import Server
from sam_backend.segmenters.image_files import decode_image
from sam_backend.settings import Settings

_MAX_BYTES = 2**30
_CHUNK = 2**16


class TaskImages:
    """Fetches and decodes the images of tasks.

    Files are not cached, only embeddings are. The SDK's own file cache has no size limit and keeps incomplete files.

    Parameters
    ----------
    timeout : float, seconds for the whole file; twice as long if the server stops in the middle of the file.
    max_pixels : int, the largest image that is decoded.
    """

    def __init__(self, *, timeout: float, max_pixels: int) -> None:
        self._timeout = timeout
        self._max_pixels = max_pixels
        self._tokens = AccessTokens(timeout)

    @classmethod
    def of_settings(cls, settings: Settings) -> Self:
        """Create an instance with the limits of the settings."""
        return cls(timeout=settings.image_timeout, max_pixels=settings.max_image_pixels)

    def fetch(self, url: str, server: Server | None, task_id: int | str | None) -> bytes:
        """Fetch the file of an image.

        Parameters
        ----------
        url : str, as in the task: an upload or a local file of Label Studio (`/data/…`), `s3://`, `gs://` or
            `azure-blob://` (through Label Studio), `http(s)://`, or a `data:` URL. Other addresses are refused, so that
            a caller cannot make the service read its own disk. Local files are read from the disk only if the operator
            set LOCAL_FILES_DOCUMENT_ROOT, as for Label Studio itself.
        server : Server, the Label Studio of the task; None if it is unknown.
        task_id : id of the task, needed for cloud storage.

        Raises
        ------
        BadRequestError
            If the address is of another kind, or needs a Label Studio that is unknown.
        ImageServerError
            If the server refuses, breaks off, sends a web page, or is too slow.
        """
        if url.startswith("data:"):
            return _read_data_url(url)
        is_internal = _is_of_label_studio(url)
        if is_internal:
            if server is None or not server.token:
                raise BadRequestError(
                    f"The image {shown(url)} lies in a Label Studio whose {'token' if server else 'address'} is not "
                    "known here; connect this model to the project again, or set SAM_INSPECT_LABEL_STUDIO_URL and "
                    "SAM_INSPECT_LABEL_STUDIO_API_KEY."
                )
            if is_cloud_storage_uri(url) and task_id is None:
                raise BadRequestError(f"The image {shown(url)} in a cloud storage needs the task's id; it is missing.")
        elif _split(url).scheme not in ("http", "https"):
            raise BadRequestError(
                f"The image address {shown(url)} cannot be followed; it must start with http://, https://, s3://, "
                "gs://, azure-blob://, data: or, for files in Label Studio, /data/."
            )
        # Other servers do not get the token, so it does not have to be valid.
        if server and (is_internal or _split(url).netloc == _split(server.hostname).netloc):
            server = Server(server.hostname, self._tokens.of(server))
        return self._get(url, server, task_id)

    def decode(self, file: bytes, url: str) -> ImageArray:
        """Decode a fetched file; see `decode_image`."""
        return decode_image(file, f"The image {shown(url)}", max_pixels=self._max_pixels)

    def _get(self, url: str, server: Server | None, task_id: int | str | None) -> bytes:
        try:
            with _session(self._timeout) as session, http_session(session):
                content = get_base64_content(
                    url,
                    hostname=server.hostname if server else None,
                    access_token=server.token if server else None,
                    task_id=task_id,
                )
        except requests.HTTPError as error:
            raise ImageServerError(_refusal(url, error.response)) from None
        except (requests.Timeout, TimeoutError):
            raise ImageServerError(f"The image {shown(url)} did not come within {self._timeout:g} s.") from None
        except requests.RequestException as error:
            raise ImageServerError(f"The image {shown(url)} could not be fetched: {type(error).__name__}.") from None
        except (OSError, ValueError) as error:
            raise BadRequestError(f"The image {shown(url)} cannot be found: {type(error).__name__}.") from None
        return base64.b64decode(content)


def _is_of_label_studio(url: str) -> bool:
    """Return whether Label Studio serves the address: an upload, a local file, or cloud storage."""
    return is_cloud_storage_uri(url) or url.startswith(
        ("/data/upload", "/data/local-files", "/upload", "upload", "/storage-data/uploaded", "storage-data/uploaded")
    )


def shown(url: str) -> str:
    """Return an address for a message: without user, password and query, which can hold secrets, and shortened."""
    if url.startswith("data:"):
        return url[: min(url.find(","), 60)] + ",…"
    parts = _split(url)
    where = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}" if parts.scheme else ""
    query = f"?{parts.query}" if parts.path.startswith("/data/local-files") and not where else ""
    text = f"{where}{parts.path}{query}"
    return text if len(text) <= 200 else f"{text[:100]}…{text[-99:]}"


def _split(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError:
        return SplitResult("", "", url, "", "")


class _BoundedAdapter(HTTPAdapter):
    """Reads every answer completely, with one deadline and a size limit, which the SDK does not set."""

    def __init__(self, timeout: float) -> None:
        super().__init__()
        self._deadline = time.monotonic() + timeout

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        """Send a request and read the whole body, except that of a refusal or a redirection."""
        response = super().send(request, *args, **{**kwargs, "stream": True, "timeout": self._remaining()})
        body = self._read(response) if response.ok and not response.is_redirect else b""
        response.raw.close()
        response.raw = io.BytesIO(body)
        return response

    def _remaining(self) -> float:
        remaining = self._deadline - time.monotonic()
        if remaining <= 0:
            raise TimeoutError
        return remaining

    def _read(self, response: requests.Response) -> bytes:
        if response.headers.get("Content-Type", "").startswith("text/html"):
            raise ImageServerError(
                f"{shown(response.url)} is a web page, not an image; perhaps its server asks to log in."
            )
        body = bytearray()
        try:
            # read1 returns the bytes that have arrived; read would wait for a whole chunk of a slow server.
            while chunk := response.raw.read1(_CHUNK, decode_content=True):
                body += chunk
                self._remaining()
                if len(body) > _MAX_BYTES:
                    raise ImageServerError(f"{shown(response.url)} is larger than {_MAX_BYTES >> 20} MiB.")
        except urllib3.exceptions.TimeoutError:
            raise TimeoutError from None
        except (urllib3.exceptions.HTTPError, ConnectionError):
            raise ImageServerError(f"The server broke off while sending {shown(response.url)}.") from None
        return bytes(body)


def _session(timeout: float) -> requests.Session:
    session = requests.Session()
    session.max_redirects = 5
    adapter = _BoundedAdapter(timeout)
    session.mount("http://", adapter)
    session.mount("https://", adapter)
    return session


def _refusal(url: str, response: requests.Response | None) -> str:
    status = response.status_code if response is not None else 0
    hint = {
        401: "the token is not accepted (legacy tokens may be disabled there)",
        403: "it may not be read with the token that this service has",
        404: "it is not there",
    }.get(status, "its server has a problem")
    where = _split(response.url).netloc.rpartition("@")[2] if response is not None else "its server"
    return f"The image {shown(url)} could not be fetched: {where} answered {status}, {hint}."


def _read_data_url(url: str) -> bytes:
    header, comma, payload = url.partition(",")
    try:
        if not comma:
            raise ValueError
        raw = unquote_to_bytes(payload)
        return base64.b64decode(raw, validate=True) if header.endswith(";base64") else raw
    except (ValueError, binascii.Error):
        raise BadRequestError("The image is a data: URL whose content is not valid base64.") from None
