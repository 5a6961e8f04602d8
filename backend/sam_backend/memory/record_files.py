"""The files of a project's memory: one for each annotated image, and beside it the vectors a model made of it."""

from __future__ import annotations

import errno
import io
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from sam_backend.files import make_folder, name_on_disk, write_whole
from sam_backend.memory.features import FeatureVectors
from sam_backend.memory.records import Example, Record, RecordKey

_ABOUT = "about"
_DAMAGED = (AttributeError, ValueError, TypeError, RecursionError)
_ONE_FILE = (errno.EACCES, errno.EIO, errno.EISDIR, errno.ELOOP, errno.EPERM)
"""Errors of one file, which the other files do not share."""

FileStamp = tuple[int, int]
"""The time of the last change of a file in ns, and its size in bytes."""


class DamagedFileError(Exception):
    """A file of a memory cannot be read; another program damaged it."""


@dataclass(frozen=True)
class ExampleAbout:
    """What an example says beside its vectors.

    Attributes
    ----------
    updated : str, the time of the change of its record.
    labels : the labels of its vectors, with the background's; none where the record cannot be used.
    problem : str, why it cannot be used; "" where it can.
    """

    updated: str
    labels: tuple[str, ...]
    problem: str


class RecordFiles:
    """The files of one project. Each is written whole or not at all.

    Parameters
    ----------
    folder : Path of the project's folder.
    """

    def __init__(self, folder: Path) -> None:
        self.records = folder / "annotations"
        self.examples = folder / "examples"
        self.deleted_tasks = folder / "deleted-tasks"

    def record_path(self, key: RecordKey) -> Path:
        """Return the path of a record."""
        return self.records / f"{_stem(key)}.json"

    def example_path(self, key: RecordKey, version: str) -> Path:
        """Return the path of the example that a model made of a record."""
        return self.example_path_in(name_on_disk(version), key)

    def example_path_in(self, version_folder: str, key: RecordKey) -> Path:
        """Return the path of an example in the folder of this name."""
        return self.examples / version_folder / f"{_stem(key)}.npz"

    def read_record(self, key: RecordKey, *, whole: bool = False) -> Record | None:
        """Read a record, with its regions if `whole`; None if there is none.

        Raises
        ------
        DamagedFileError
            If the file is no record, or cannot be read.
        """
        path = self.record_path(key)
        try:
            with path.open(encoding="utf-8") as file:
                record = replace(Record(key[0], index=key[1]), **json.loads(file.readline()))
                if record.key != key or not _has_kinds(record):
                    raise ValueError("other fields")
                return replace(record, regions=json.loads(file.readline())) if whole else record
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno not in _ONE_FILE:
                raise
            raise DamagedFileError(f"{path} cannot be read ({error.strerror})") from None
        except _DAMAGED as error:
            raise DamagedFileError(f"{path} is unreadable ({type(error).__name__})") from None

    def write_record(self, record: Record) -> None:
        """Write a record; OSError if it cannot be written."""
        head = {name: value for name, value in vars(record).items() if name != "regions"}
        # Masks are long, and most readers need the first line alone.
        content = f"{json.dumps(head)}\n{json.dumps(record.regions)}\n"
        write_whole(self.record_path(record.key), content.encode())

    def write_example(self, example: Example, version: str) -> None:
        """Write an example; OSError if it cannot be written."""
        vectors = example.vectors
        about = {"updated": example.updated, "problem": example.problem, "labels": example.labels}
        arrays: dict[str, Any] = {_ABOUT: np.array(json.dumps(about))}
        if vectors is not None:
            arrays |= {
                "values": vectors.values.astype(np.float16),
                "labels": vectors.labels,
                "weights": vectors.weights,
            }
        content = io.BytesIO()
        np.savez(content, allow_pickle=False, **arrays)
        write_whole(self.example_path(example.key, version), content.getbuffer())

    def read_about(self, path: Path) -> ExampleAbout | None:
        """Read what an example says; None if there is none.

        Raises
        ------
        DamagedFileError
            If the file is no example.
        """
        try:
            with np.load(path, allow_pickle=False) as arrays:
                about = json.loads(str(arrays[_ABOUT]))
            return ExampleAbout(str(about["updated"]), tuple(map(str, about["labels"])), str(about["problem"]))
        except FileNotFoundError:
            return None
        # Damage can look like anything, and a damaged example is made again.
        except Exception as error:
            raise DamagedFileError(f"{path} is unreadable ({type(error).__name__})") from None

    def read_vectors(self, key: RecordKey, version: str) -> FeatureVectors | None:
        """Read the vectors of an example; None if there are none.

        Raises
        ------
        DamagedFileError
            If the file is no example.
        """
        path = self.example_path(key, version)
        try:
            with np.load(path, allow_pickle=False) as arrays:
                values, labels, weights = arrays["values"].astype(np.float32), arrays["labels"], arrays["weights"]
            if values.ndim != 2 or not len(values) == len(labels) == len(weights) or not np.isfinite(values).all():
                raise ValueError("other shapes")
            return FeatureVectors(values, labels.astype(np.str_), weights.astype(np.float32))
        except FileNotFoundError:
            return None
        # Damage can look like anything, and a damaged example is made again.
        except Exception as error:
            raise DamagedFileError(f"{path} is unreadable ({type(error).__name__})") from None

    def mark_deleted_task(self, task: int) -> None:
        """Keep that a task was deleted; OSError if it cannot be written."""
        make_folder(self.deleted_tasks)
        (self.deleted_tasks / str(task)).touch(mode=0o600)

    def scan_records(self) -> Iterator[tuple[RecordKey, FileStamp]]:
        """Yield the keys of all records with the stamps of their files."""
        yield from _scan(self.records, ".json")

    def scan_examples(self, version_folder: str) -> Iterator[tuple[RecordKey, FileStamp]]:
        """Yield the keys of the examples in the folder of one version with the stamps of their files."""
        yield from _scan(self.examples / version_folder, ".npz")

    def version_folders(self) -> list[str]:
        """Return the names of the folders of examples, one for each version of a model."""
        return [name for name in _names(self.examples) if (self.examples / name).is_dir()]

    def scan_deleted_tasks(self) -> Iterator[int]:
        """Yield the ids of the tasks that were deleted."""
        for name in _names(self.deleted_tasks):
            if _is_id(name):
                yield int(name)

    def forget(self) -> None:
        """Remove all files."""
        for folder in (self.records, self.examples, self.deleted_tasks):
            # Renamed first, so that no process sees a part of it.
            aside = folder.with_name(f"{folder.name}.forgotten")
            shutil.rmtree(aside, ignore_errors=True)
            if folder.exists():
                folder.replace(aside)
                shutil.rmtree(aside, ignore_errors=True)


def stamp_of(path: Path) -> FileStamp:
    """Return the stamp of a file or a folder; zeros if there is none."""
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return 0, 0
    return status.st_mtime_ns, status.st_size


def _has_kinds(record: Record) -> bool:
    """Return whether the fields of a record that was read are of their kinds, and numbers not larger than SQLite's."""
    texts, numbers = (record.updated, record.image, record.left_out), (record.task, record.prediction)
    return (
        all(isinstance(text, str) for text in texts)
        and all(isinstance(number, int) and 0 <= number < 2**63 for number in (*numbers, *record.masks.values()))
        and isinstance(record.deleted, bool)
    )


def _stem(key: RecordKey) -> str:
    """Return the stem of a record's file names; the index 0 is left out, as in files of earlier versions."""
    annotation, index = (int(number) for number in key)
    return f"{annotation}-{index}" if index else str(annotation)


def _key(stem: str) -> RecordKey | None:
    """Return the key of a record's file; None for another file."""
    annotation, _, index = stem.partition("-")
    return (int(annotation), int(index or 0)) if _is_id(annotation) and _is_id(index or "0") else None


def _is_id(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 20 and int(text) < 2**63


def _scan(folder: Path, suffix: str) -> Iterator[tuple[RecordKey, FileStamp]]:
    try:
        entries = os.scandir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return
    with entries:
        for entry in entries:
            key = _key(entry.name.removesuffix(suffix)) if entry.name.endswith(suffix) else None
            if key is not None:
                try:
                    status = _stat(entry)
                except FileNotFoundError:
                    continue
                yield key, (status.st_mtime_ns, status.st_size)


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []


def _stat(entry: os.DirEntry[str]) -> os.stat_result:
    """Return the state of a file, or of a link that cannot be followed."""
    try:
        return entry.stat()
    except OSError as error:
        if error.errno not in _ONE_FILE:
            raise
        return entry.stat(follow_symlinks=False)
