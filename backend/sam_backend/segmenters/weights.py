"""Files of weights: where they are, their download, and the check of their SHA-256."""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from pathlib import Path

from filelock import FileLock

from sam_backend.certificates import trusted_certificates
from sam_backend.errors import WeightsError
from sam_backend.files import write_whole
from sam_backend.segmenters.byte_progress import byte_progress
from sam_backend.segmenters.download import fetch
from sam_backend.segmenters.model_info import WeightFolders, WeightsFile
from sam_backend.segmenters.model_registry import known_models

_PART = ".part"


def find_checkpoint(checkpoint: WeightsFile, folders: WeightFolders) -> Path | None:
    """Return the first file of this name in the given folder, then in the cache; None if there is none.

    `obtain_checkpoint` checks its content.
    """
    for folder in (folders.given, downloads(folders)):
        if folder is not None and (folder / checkpoint.filename).is_file():
            return folder / checkpoint.filename
    return None


def obtain_checkpoint(checkpoint: WeightsFile, folders: WeightFolders, path: Path | None = None) -> Path:
    """Return a verified file of weights: `path` if given, else the one that `find_checkpoint` finds, else a download.

    Raises
    ------
    WeightsError
        If the file is missing, corrupt, or cannot be downloaded.
    """
    if path is not None and not path.is_file():
        raise WeightsError(f"There is no file {path}; {checkpoint.model} needs {checkpoint.filename} there.")
    file = path or find_checkpoint(checkpoint, folders) or _download(checkpoint, folders)
    _verify(checkpoint, file, folders)
    return file


def _verify(checkpoint: WeightsFile, path: Path, folders: WeightFolders) -> None:
    """Check a file by its SHA-256; a file that passed is not read again until it changes.

    Raises
    ------
    WeightsError
        If it is another file, or cannot be read.
    """
    try:
        sha256 = file_sha256(path, folders)
    except OSError as error:
        raise WeightsError(f"Cannot read {path}: {error.strerror}.") from error
    if sha256 == checkpoint.sha256:
        return
    published = (file for info in known_models() for file in info.files)
    other = next((file.model for file in published if file.sha256 == sha256), None)
    what = f"is the checkpoint of {other}" if other else "is corrupt or another file"
    raise WeightsError(
        f"{path} {what}: the SHA-256 of {checkpoint.filename} is {checkpoint.sha256}, this file's is {sha256}; "
        f"delete it and run `sam-inspect download {checkpoint.model}`."
    )


def downloads(folders: WeightFolders) -> Path:
    """Return the folder of downloaded weights."""
    return folders.cache / "weights"


def _download(checkpoint: WeightsFile, folders: WeightFolders) -> Path:
    target = downloads(folders) / checkpoint.filename
    part = target.with_name(target.name + _PART)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        # Of several processes that start at once, one downloads and the others wait for it.
        with FileLock(target.with_name(target.name + ".lock")):
            if target.exists():
                return target
            url = folders.address(checkpoint.url)
            fetch(url, part, checkpoint.size, trusted_certificates(folders.ca_bundle))
            if (sha256 := file_sha256(part, folders)) != checkpoint.sha256:
                part.unlink()
                raise WeightsError(
                    f"What {url} sent is not {checkpoint.filename}: its SHA-256 is {sha256}, expected "
                    f"{checkpoint.sha256}; try again, and if it stays so, ask who runs the proxy in between."
                )
            part.replace(target)
    except OSError as error:
        needed = f"{checkpoint.size / 1e6:.0f} MB"
        raise WeightsError(f"Cannot write {target}: {error.strerror}; {needed} must fit there.") from error
    return target


def file_sha256(path: Path, folders: WeightFolders) -> str:
    """Return a file's SHA-256 in hex. Gigabytes take seconds, so it is kept by path, size and time of change."""
    stat = path.stat()
    # A download keeps its record when it is renamed.
    key = str(path.resolve()).removesuffix(_PART)
    stamp = [stat.st_size, stat.st_mtime_ns]
    memory = folders.cache / "sha256.json"
    try:
        known: dict[str, list[int | str]] = json.loads(memory.read_text())
    except (OSError, ValueError):
        known = {}
    if known.get(key, [])[:2] == stamp:
        return str(known[key][2])
    with path.open("rb") as file, byte_progress() as progress:
        task = progress.add_task(f"Checking {path.name}", total=stat.st_size)
        digest = hashlib.sha256()
        while chunk := file.read(1 << 22):
            digest.update(chunk)
            progress.advance(task, len(chunk))
    # A folder that cannot be written to costs speed at the next start, no more.
    with suppress(OSError):
        write_whole(memory, json.dumps(known | {key: [*stamp, digest.hexdigest()]}).encode())
    return digest.hexdigest()
