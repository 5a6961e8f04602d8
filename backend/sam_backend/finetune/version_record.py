"""The record of tuned weights, and the check that the files beside it are the ones that it names. Needs no PyTorch."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from sam_backend.errors import SamInspectError
from sam_backend.files import name_on_disk, write_whole

RECORD = "version.json"

_WEIGHTS = frozenset({".onnx", ".safetensors", ".pt"})
"""Suffixes of files that a model may load."""


class VersionError(SamInspectError):
    """There is no such version, its files are damaged, or there is no earlier version to go back to."""


@dataclass(frozen=True)
class Version:
    """The record of tuned weights.

    Attributes
    ----------
    name : str, `<model>-<number>`, for example "nano-0003".
    model : str, the model that was tuned.
    model_version : str, the version that Label Studio shows, for example "nano-cca3e915".
    parent : str, the version that it was tuned from.
    created : str, the time in UTC, ISO 8601.
    data : str, what it learned from, as users call it.
    reason : str, the gate's reason for passing it or not.
    passed : bool, whether the gate passed it.
    metrics : dict, `protocol.metric` -> [before, after] on held-out images.
    files : dict, file name -> SHA-256 of each file beside the record; empty in records of earlier versions.
    """

    name: str
    model: str
    model_version: str = ""
    parent: str = "shipped"
    created: str = ""
    data: str = ""
    reason: str = ""
    passed: bool = False
    metrics: dict[str, list[float]] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)


def folder_name(model: str) -> str:
    """Return the name of the folder of a model's versions, with which their names begin: "sam_vit_b"."""
    return name_on_disk(model.replace(":", "_"))


def read_record(folder: Path) -> Version:
    """Read the record in the folder of a version.

    Raises
    ------
    VersionError
        If it is missing or damaged, or belongs to another folder.
    """
    path = folder / RECORD
    try:
        version = _reader().validate_json(path.read_bytes())
    except OSError as error:
        raise VersionError(f"The record {path} cannot be read: {error.strerror or error}.") from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise VersionError(
            f"The record {path} is damaged ({f'{where}: ' if where else ''}{first['msg']}); delete its folder, or "
            "restore it from a backup."
        ) from error
    if version.name != folder.name or folder_name(version.model) != folder.parent.name:
        raise VersionError(
            f"The record {path} is that of {version.name!r} of {version.model!r}, so its folder was copied or renamed; "
            "give the folder its own name again, or delete it."
        )
    if any(Path(name).name != name or name in ("", ".", "..") for name in version.files):
        raise VersionError(f"The record {path} is damaged: it names files of other folders; delete its folder.")
    return version


def write_record(folder: Path, version: Version) -> None:
    """Write the record of a version into its folder; raise OSError if that fails."""
    write_whole(folder / RECORD, json.dumps(asdict(version), indent=1).encode())


def hash_files(folder: Path) -> dict[str, str]:
    """Return file name -> SHA-256 of the files of a new version, which are on disk afterwards.

    Raises
    ------
    VersionError
        If there are no weights among them.
    """
    files = {path.name: _sha256(path, sync=True) for path in sorted(folder.iterdir()) if path.name != RECORD}
    if not any(_is_weights(folder / name) for name in files):
        raise VersionError(f"{folder} holds no weights, so it is no version.")
    return files


def verify_files(folder: Path, version: Version) -> None:
    """Check that the files of a version are there and unchanged; without hashes, that there are weights.

    Raises
    ------
    VersionError
        If a file is missing or changed, or there are weights that the record does not name.
    """
    cure = "restore the folder from a backup, or delete it and fine-tune again"
    try:
        weights = {path.name for path in folder.iterdir() if _is_weights(path)}
        changed = [name for name, sha256 in version.files.items() if _sha256(folder / name) != sha256]
    except FileNotFoundError as error:
        raise VersionError(f"{version.name} cannot be used: {error.filename} is missing; {cure}.") from error
    except OSError as error:
        raise VersionError(
            f"{version.name} cannot be used: {error.filename or folder} cannot be read: {error.strerror or error}."
        ) from error
    if changed:
        raise VersionError(
            f"{version.name} cannot be used: {', '.join(changed)} in {folder} changed since the training; {cure}."
        )
    if not weights:
        raise VersionError(f"{version.name} cannot be used: {folder} holds no weights; {cure}.")
    if version.files and (foreign := sorted(weights - set(version.files))):
        raise VersionError(
            f"{version.name} cannot be used: {', '.join(foreign)} in {folder} does not belong to it; delete that file."
        )


def _is_weights(path: Path) -> bool:
    return path.suffix in _WEIGHTS


def _sha256(path: Path, *, sync: bool = False) -> str:
    with path.open("rb") as file:
        if sync:
            os.fsync(file.fileno())
        return hashlib.file_digest(file, "sha256").hexdigest()


@cache
def _reader() -> TypeAdapter[Version]:
    return TypeAdapter(Version)
