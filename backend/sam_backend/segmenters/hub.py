"""Models that are published as a folder on the Hugging Face Hub: where the folder is, its download, and its checks.

The owner of such a folder may replace its files, so no SHA-256 of them is written here: the server states that of each
large file, and the download is checked against it. What was fetched is written down beside the files, so that a file
that changes later is found.
"""

from __future__ import annotations

import json
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from filelock import FileLock

from sam_backend.certificates import trusted_certificates
from sam_backend.errors import WeightsError
from sam_backend.files import make_folder, write_whole
from sam_backend.segmenters.download import TIMEOUT, fetch
from sam_backend.segmenters.hub_entries import CONFIG, WEIGHTS
from sam_backend.segmenters.model_info import Repository, WeightFolders, WeightsFile
from sam_backend.segmenters.weights import downloads, file_sha256, find_checkpoint, obtain_checkpoint

HUB = "https://huggingface.co"

IMAGES = ("preprocessor_config.json", "processor_config.json")
"""What says how the model takes an image; one of them is enough."""

_RECORD = "downloaded.json"
_REDIRECTS = 5
_LONGEST_TABLE = 100_000_000
"""Bytes of the longest table that the format allows."""


def find_repository(repository: Repository, folders: WeightFolders) -> Path | None:
    """Return the first whole folder of this name in the given folder, then in the cache; None if there is none."""
    for folder in (folders.given, downloads(folders)):
        if folder is not None and not _missing(repository, folder / repository.filename):
            return folder / repository.filename
    return None


def obtain_repository(
    repository: Repository, folders: WeightFolders, path: Path | None = None, *, accept_licence: bool = False
) -> Path:
    """Return a verified folder: `path` if given, else the one that `find_repository` finds, else a download.

    Raises
    ------
    WeightsError
        If the folder lacks a file, a file is not what was downloaded, or it cannot be downloaded; or if it has a
        licence that must be accepted before the download, and the caller does not say with `accept_licence` that the
        user did.
    """
    if path is not None and (missing := _missing(repository, path)):
        raise WeightsError(f"{path} lacks {missing}; {repository.model} needs a folder like {HUB}/{repository.name}.")
    folder = path or find_repository(repository, folders)
    if folder is None:
        if repository.licence_page and not accept_licence:
            raise WeightsError(
                f"{repository.model} is not here and has a licence of its own: read it on {repository.licence_page}, "
                f"and if you accept it, run `sam-inspect download {repository.model} --accept-licence`."
            )
        folder = _download(repository, folders)
    _verify(repository, folder, folders)
    return folder


def _missing(repository: Repository, folder: Path) -> str:
    """Return the name of a file that a folder lacks; "" if it is whole."""
    needed = next((name for name in (CONFIG, *repository.beside, WEIGHTS) if not (folder / name).is_file()), "")
    has_images = any((folder / name).is_file() for name in IMAGES)
    return needed or ("" if has_images else " or ".join(IMAGES))


def _verify(repository: Repository, folder: Path, folders: WeightFolders) -> None:
    """Check the files of a downloaded folder against its record; a folder put there by hand has none."""
    try:
        record: dict[str, str] = json.loads((folder / _RECORD).read_text())["sha256"]
    except FileNotFoundError:
        return
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WeightsError(f"{folder / _RECORD} cannot be read; {_again(repository, folder)}.") from error
    for name, sha256 in record.items():
        if not (folder / name).is_file() or file_sha256(folder / name, folders) != sha256:
            raise WeightsError(f"{folder / name} is not the file that was downloaded; {_again(repository, folder)}.")


def _again(repository: Repository, folder: Path) -> str:
    return f"delete {folder} and run `sam-inspect download {repository.model}`"


@dataclass(frozen=True)
class _Published:
    """A file on the server: its size in bytes, and its SHA-256 where the server states it ("" if not)."""

    size: int
    sha256: str


def _download(repository: Repository, folders: WeightFolders) -> Path:
    target = downloads(folders) / repository.filename
    address = folders.address(f"{HUB}/{repository.name}/resolve/main/")
    certificates = trusted_certificates(folders.ca_bundle)
    headers = {"Authorization": f"Bearer {folders.hub_token}"} if folders.hub_token else {}
    try:
        make_folder(target)
        with FileLock(target.with_name(target.name + ".lock")):
            if not _missing(repository, target):
                return target
            sha256 = {}
            for name in (CONFIG, *IMAGES, *repository.beside, WEIGHTS):
                published = _look(repository, address + name, target, certificates, headers)
                if published is not None:
                    part = target / f"{name}.part"
                    if name != WEIGHTS:
                        # Small, and perhaps of another server: an earlier run may have been given a wrong mirror.
                        part.unlink(missing_ok=True)
                    fetch(address + name, part, published.size, certificates, headers)
                    if not (_is_safetensors(part) if name == WEIGHTS else _is_json_object(part)):
                        part.unlink()
                        kind = "whole file of safetensors" if name == WEIGHTS else "JSON object"
                        raise WeightsError(
                            f"{address + name} is no {kind}; expected a folder like {HUB}/{repository.name}. A proxy "
                            "or a wrong SAM_INSPECT_MIRROR may have answered with a page."
                        )
                    sha256[name] = file_sha256(part, folders)
                    if published.sha256 not in ("", sha256[name]):
                        part.unlink()
                        raise WeightsError(
                            f"What {address + name} sent is not what the server announced: its SHA-256 is "
                            f"{sha256[name]}, expected {published.sha256}; try again."
                        )
                elif name not in IMAGES:
                    raise WeightsError(f"{address} has no {name}; expected a folder like {HUB}/{repository.name}.")
            write_whole(target / _RECORD, json.dumps({"from": address, "sha256": sha256}, indent=1).encode())
            # The weights come last: a folder that has them is whole.
            for name in sha256:
                (target / f"{name}.part").replace(target / name)
            if missing := _missing(repository, target):
                raise WeightsError(f"{address} has no {missing}; expected a folder like {HUB}/{repository.name}.")
    except OSError as error:
        needed = f"{repository.size / 1e6:,.0f} MB"
        raise WeightsError(f"Cannot write {target}: {error.strerror}; {needed} must fit there.") from error
    return target


def _is_safetensors(file: Path) -> bool:
    """Return whether a file is a whole one of safetensors.

    It begins with the length of a table in eight bytes, then the table as JSON, which says where each tensor ends.
    """
    with file.open("rb") as opened:
        length = int.from_bytes(opened.read(8), "little")
        if length > _LONGEST_TABLE:
            return False
        try:
            table: dict[str, Any] = json.loads(opened.read(length))
            end = max(int(one["data_offsets"][1]) for name, one in table.items() if name != "__metadata__")
        except (ValueError, TypeError, AttributeError, LookupError):
            return False
    return file.stat().st_size == 8 + length + end


def _is_json_object(file: Path) -> bool:
    try:
        return isinstance(json.loads(file.read_bytes()), dict)
    except ValueError:
        return False


def _look(
    repository: Repository, url: str, target: Path, certificates: ssl.SSLContext, headers: dict[str, str]
) -> _Published | None:
    """Return what the server says of a file; None if it has no such file.

    The first answer of the Hub, a redirection to the store of large files, states the size and the SHA-256.
    """
    files = f"{', '.join((CONFIG, IMAGES[0], *repository.beside))} and {WEIGHTS} of {HUB}/{repository.name}"
    instead = f"to go on without the network, put {files} into {target}"
    try:
        with httpx.Client(timeout=TIMEOUT, verify=certificates) as client:
            request = client.build_request("HEAD", url, headers={**headers, "Accept-Encoding": "identity"})
            for _ in range(_REDIRECTS):
                answer = client.send(request)
                # The answer that names the store states what the store does not. No other server gets the token.
                if answer.next_request is None or "X-Linked-Size" in answer.headers:
                    break
                request = answer.next_request
    except (httpx.RequestError, httpx.InvalidURL) as error:
        reason = str(error).rstrip(".") or type(error).__name__
        raise WeightsError(f"Cannot download {url}: {reason}; {instead}.") from error
    if answer.status_code == 404:
        return None
    if answer.status_code in (401, 403):
        page = repository.licence_page or f"{HUB}/{repository.name}"
        raise WeightsError(
            f"{url} is refused ({answer.status_code}): accept the licence on {page}, and set SAM_INSPECT_HUB_TOKEN to "
            f"a token of the account that accepted it; {instead}."
        )
    size = answer.headers.get("X-Linked-Size", answer.headers.get("Content-Length", ""))
    if not (answer.is_success or "X-Linked-Size" in answer.headers):
        raise WeightsError(f"Cannot download {url}: the server answered {answer.status_code}; {instead}.")
    if not size.isdigit() or not int(size):
        raise WeightsError(f"Cannot download {url}: the server states no size of it, or 0; {instead}.")
    etag = answer.headers.get("X-Linked-ETag", "").removeprefix("W/").strip('"')
    return _Published(int(size), etag if len(etag) == 64 else "")


def find_weights(published: WeightsFile | Repository, folders: WeightFolders) -> Path | None:
    """Return where a model's weights are, a file or a folder; None if they are not here."""
    if isinstance(published, Repository):
        return find_repository(published, folders)
    return find_checkpoint(published, folders)


def obtain_weights(
    published: WeightsFile | Repository, folders: WeightFolders, *, accept_licence: bool = False
) -> Path:
    """Return the verified file or folder of a model's weights, downloaded where that is needed and possible.

    Raises
    ------
    WeightsError
        If something is missing, corrupt, or cannot be downloaded, or has a licence that was not accepted.
    """
    if isinstance(published, Repository):
        return obtain_repository(published, folders, accept_licence=accept_licence)
    return obtain_checkpoint(published, folders)
