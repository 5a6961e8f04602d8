"""Where checkpoints lie, and that they are what they claim to be."""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from pathlib import Path

from filelock import FileLock

from sam_backend.errors import WeightsError
from sam_backend.files import write_whole
from sam_backend.segmenters.byte_progress import byte_progress
from sam_backend.segmenters.download import fetch
from sam_backend.segmenters.model_info import Checkpoint, WeightFolders
from sam_backend.segmenters.registry import known_models

_PART = ".part"


def find_checkpoint(checkpoint: Checkpoint, folders: WeightFolders) -> Path | None:
    """Return the first place that holds a file of this name: the given folder, then the cache.

    Only the name is looked at; `obtain_checkpoint` checks whether the file is what it should be.
    """
    for folder in (folders.given, _downloads(folders)):
        if folder is not None and (folder / checkpoint.filename).is_file():
            return folder / checkpoint.filename
    return None


def obtain_checkpoint(checkpoint: Checkpoint, folders: WeightFolders, path: Path | None = None) -> Path:
    """Return a verified file of weights: at `path` if given, else where one is found, else downloaded.

    Raises
    ------
    WeightsError
        If the file is missing, corrupt, or cannot be downloaded.
    """
    if path is not None and not path.is_file():
        raise WeightsError(f"There is no file {path}; {checkpoint.model} needs {checkpoint.filename} there.")
    found = path or find_checkpoint(checkpoint, folders) or _download(checkpoint, folders)
    _verify(checkpoint, found, folders)
    return found


def _verify(checkpoint: Checkpoint, path: Path, folders: WeightFolders) -> None:
    """Check a file by its SHA-256; a file that passed once and has not been touched since is not read again.

    Raises
    ------
    WeightsError
        If it is another file than it should be, or cannot be read.
    """
    try:
        sha256 = _sha256(path, folders)
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


def _downloads(folders: WeightFolders) -> Path:
    return folders.cache / "weights"


def _download(checkpoint: Checkpoint, folders: WeightFolders) -> Path:
    target = _downloads(folders) / checkpoint.filename
    part = target.with_name(target.name + _PART)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        # Of several processes that start at once on a new machine, one downloads and the others wait for it.
        with FileLock(target.with_name(target.name + ".lock")):
            if target.exists():
                return target
            fetch(checkpoint.url, part, checkpoint.size)
            if (sha256 := _sha256(part, folders)) != checkpoint.sha256:
                part.unlink()
                raise WeightsError(
                    f"What {checkpoint.url} sent is not {checkpoint.filename}: its SHA-256 is {sha256}, expected "
                    f"{checkpoint.sha256}; try again, and if it stays so, ask who runs the proxy in between."
                )
            part.replace(target)
    except OSError as error:
        needed = f"{checkpoint.size / 1e6:.0f} MB"
        raise WeightsError(f"Cannot write {target}: {error.strerror}; {needed} must fit there.") from error
    return target


def _sha256(path: Path, folders: WeightFolders) -> str:
    """Return a file's SHA-256 in hex: gigabytes take seconds, so it is remembered by path, size and time of change."""
    stat = path.stat()
    # A download that passed keeps its record when it is renamed.
    key = str(path.resolve()).removesuffix(_PART)
    stamp = [stat.st_size, stat.st_mtime_ns]
    memory = folders.cache / "sha256.json"
    try:
        remembered: dict[str, list[int | str]] = json.loads(memory.read_text())
    except (OSError, ValueError):
        remembered = {}
    if remembered.get(key, [])[:2] == stamp:
        return str(remembered[key][2])
    with path.open("rb") as file, byte_progress() as progress:
        task = progress.add_task(f"Checking {path.name}", total=stat.st_size)
        digest = hashlib.sha256()
        while chunk := file.read(1 << 22):
            digest.update(chunk)
            progress.advance(task, len(chunk))
    # A folder that cannot be written to costs speed at the next start, no more.
    with suppress(OSError):
        write_whole(memory, json.dumps(remembered | {key: [*stamp, digest.hexdigest()]}).encode())
    return digest.hexdigest()
