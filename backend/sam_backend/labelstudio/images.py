"""The images of tasks, fetched from the same places as Label Studio fetches them."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from pathlib import Path
from typing import Self
from urllib.parse import unquote_to_bytes

from sam_backend.errors import BadRequestError, ImageServerError, SamInspectError, StoreError
from sam_backend.labelstudio.addresses import Origin, shown, split_page
from sam_backend.labelstudio.client import AccessTokens
from sam_backend.labelstudio.connections import FetchDeadline, RefusedAddressError, TransportError
from sam_backend.labelstudio.image_addresses import image_source, is_file_of_label_studio
from sam_backend.labelstudio.servers import Server
from sam_backend.labelstudio.transport import HttpAnswer, HttpRequest, Transport
from sam_backend.safe_text import safe_line
from sam_backend.segmenters.image_files import FileReader
from sam_backend.settings import Settings
from sam_backend.stores import StorePath, absolute, place

MAX_BYTES = 2**30


class ImageNotFetchedError(ImageServerError):
    """An image could not be fetched.

    Attributes
    ----------
    reason : str, the cause without the name of the image, the same for all images that fail for it.
    answered : int, the status that the server answered; 0 if it did not.
    """

    def __init__(self, image: str, reason: str, answered: int = 0) -> None:
        # All that it is made of, so that it can travel to another process.
        super().__init__(image, reason, answered)
        self.reason = reason
        self.answered = answered

    def __str__(self) -> str:
        return f"The image {self.args[0]} {self.reason}."


class RefusedImageError(ImageNotFetchedError):
    """The address of an image may not be followed (HTTP 400)."""

    status = 400


class TaskImages:
    """Fetches and opens the images of tasks.

    Files are not cached, only embeddings are.

    Parameters
    ----------
    timeout : float, seconds for the whole file: renewal of the token, name, connection, redirections and bytes.
    max_pixels : int, the largest image that is decoded.
    transport : Transport, sends the requests; None for one that reaches public hosts alone.
    stores : sequence of StorePath, folders whose images are read from their stores, not through Label Studio.
    """

    def __init__(
        self, *, timeout: float, max_pixels: int, transport: Transport | None = None, stores: Sequence[StorePath] = ()
    ) -> None:
        self._stores = stores
        self._timeout = timeout
        self._max_pixels = max_pixels
        self.transport = transport or Transport()
        self._tokens = AccessTokens(timeout, self.transport)

    @classmethod
    def of_settings(cls, settings: Settings) -> Self:
        """Create an instance with the limits of the settings; SamInspectError if a setting is wrong."""
        return cls(
            timeout=settings.image_timeout,
            max_pixels=settings.max_image_pixels,
            transport=Transport.of_settings(settings),
            stores=_parse_stores(settings.stores),
        )

    def fetch(
        self, url: str, server: Server | None, task_id: int | str | None, *, configured: Origin | None = None
    ) -> bytes:
        """Fetch the file of an image.

        Parameters
        ----------
        url : str, as in the task: a file of Label Studio (`/data/…`, also as an absolute address), `s3://`, `gs://` or
            `azure-blob://` (from one of `stores`, or else through Label Studio), `http(s)://`, or a `data:` URL. Other
            addresses are refused, so that a caller cannot make the service read its own disk. Local files are read from
            the disk only if the operator set LOCAL_FILES_DOCUMENT_ROOT, as for Label Studio itself.
        server : Server, the Label Studio of the task; None if it is unknown.
        task_id : id of the task, needed for cloud storage.
        configured : Origin, a server that the project's labeling config names.

        Raises
        ------
        BadRequestError, RefusedImageError
            If the address is of another kind, may not be reached, or needs a Label Studio that is unknown.
        ImageNotFetchedError
            If the server refuses, breaks off, sends a web page, or is too slow.
        """
        url, _ = split_page(url)
        if url[:5].lower() == "data:":
            return _read_data_url(url)
        if file := self._file_on_store(url):
            return self._read(file, url)
        source = image_source(url, server, task_id, self.transport.allowed, configured)
        if source.file is not None:
            return self._read(source.file, url)
        deadline = FetchDeadline(self._timeout)

        def credential(target: str) -> str | None:
            """Return the token in a header for a file of Label Studio; other servers and paths do not get it."""
            if server is None or not server.token or not self._is_own(target, server):
                return None
            return self._tokens.header(server, deadline)

        answers = []
        for address in source.urls:
            try:
                answer = self.transport.send(HttpRequest(address, source.own, credential), deadline, MAX_BYTES)
            except RefusedAddressError as error:
                raise RefusedImageError(shown(url), str(error)) from None
            except TransportError as error:
                raise ImageNotFetchedError(shown(url), str(error)) from None
            if answer.is_success:
                if answer.headers.get("content-type", "").lower().startswith("text/html"):
                    raise ImageNotFetchedError(
                        shown(url), "is a web page, not an image; perhaps its server asks to log in"
                    )
                return answer.body
            answers.append(answer)
        raise ImageNotFetchedError(shown(url), _refusal(answers[0]), answers[0].status)

    def open(self, file: bytes, url: str) -> FileReader:
        """Open a fetched file at the page that its address names; see `FileReader`."""
        return FileReader(file, image_name(url), max_pixels=self._max_pixels, page=split_page(url)[1])

    @staticmethod
    def _is_own(target: str, server: Server) -> bool:
        own, origin = Origin.of(server.hostname), Origin.of(target)
        return bool(own and origin and own.accepts(origin)) and is_file_of_label_studio(target, server)

    def _file_on_store(self, url: str) -> Path | None:
        """Return the file at an address in one of the folders that the operator names; None for other addresses."""
        if not self._stores:
            return None
        file = absolute(StorePath(url))
        return file if any(file.is_relative_to(root) for root in self._stores) else None

    @staticmethod
    def _read(file: Path, url: str) -> bytes:
        try:
            if file.stat().st_size > MAX_BYTES:
                raise BadRequestError(f"The image {shown(url)} is larger than {MAX_BYTES >> 20} MiB.")
            return file.read_bytes()
        except OSError as error:
            raise BadRequestError(f"The image {shown(url)} cannot be read: {error.strerror}.") from None
        except StoreError as error:
            raise ImageNotFetchedError(shown(url), f"could not be fetched: {str(error).rstrip('.')}") from None


def _parse_stores(setting: str | None) -> list[StorePath]:
    """Return the folders of the setting `stores`.

    Raises
    ------
    SamInspectError
        If one of them is no folder in a bucket, or cannot be used here.
    """
    roots = []
    for text in (setting or "").split():
        try:
            root = absolute(place(text))
        except StoreError as error:
            raise SamInspectError(f"SAM_INSPECT_STORES: {error}") from None
        if not isinstance(root, StorePath) or len(root.parts) < 2:
            raise SamInspectError(
                f"SAM_INSPECT_STORES names {safe_line(text)}; name folders such as s3://bucket/line1."
            )
        roots.append(root)
    return roots


def image_name(url: str) -> str:
    """Return the name of the image at an address in messages."""
    return f"The image {shown(url)}"


def _refusal(answer: HttpAnswer) -> str:
    hint = {
        401: "the token is not accepted (legacy tokens may be disabled there)",
        403: "it may not be read with the token that this service has",
        404: "it is not there",
    }.get(answer.status, "its server has a problem")
    origin = Origin.of(answer.url)
    where = f"{origin.host}:{origin.port}" if origin else "its server"
    return f"could not be fetched: {where} answered {answer.status}, {hint}"


def _read_data_url(url: str) -> bytes:
    header, comma, payload = url.partition(",")
    try:
        if not comma:
            raise ValueError
        raw = unquote_to_bytes(payload)
        return base64.b64decode(raw, validate=True) if header.lower().endswith(";base64") else raw
    except (ValueError, binascii.Error):
        raise BadRequestError("The image is a data: URL whose content is not valid base64.") from None
