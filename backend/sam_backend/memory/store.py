"""What the memory knows of a project, on disk: one file an annotation, and beside it what a model made of it."""

from __future__ import annotations

import io
import json
import logging
import shutil
import zipfile
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from filelock import FileLock

from sam_backend.files import write_whole
from sam_backend.memory.features import Vectors

logger = logging.getLogger(__name__)

_ABOUT = "about"
_LONG_AGO = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Record:
    """An annotation as it was last heard of.

    Attributes
    ----------
    annotation : its id.
    updated : when it was changed, ISO 8601; "" where nobody said.
    task : the id of its task.
    image : the image's address.
    regions : what was outlined, as it came; it is read when a model looks at the image.
    left_out : why it teaches nothing, as when it was skipped; "" where it does.
    deleted : whether it is gone, which is final.
    """

    annotation: int
    updated: str = ""
    task: int = 0
    image: str = ""
    regions: list[dict[str, Any]] = field(default_factory=list)
    left_out: str = ""
    deleted: bool = False

    def is_newer_than(self, other: Record) -> bool:
        """Whether this is to take the place of another of the same annotation, whichever came first."""
        if self.deleted or other.deleted:
            return self.deleted and not other.deleted
        return instant(self.updated) > instant(other.updated)

    @property
    def teaches(self) -> bool:
        """Whether examples are to be made of it."""
        return not self.deleted and not self.left_out


@dataclass(frozen=True, eq=False)
class Example:
    """What a model made of a record.

    Attributes
    ----------
    annotation, updated : of the record.
    vectors : None where it cannot be used, for the reason in `problem`.
    """

    annotation: int
    updated: str
    vectors: Vectors | None
    problem: str = ""


@dataclass(frozen=True)
class Looked:
    """What is known of an example without reading its vectors.

    Attributes
    ----------
    record : without its regions.
    labels : of its vectors, the background's among them; none where it cannot be used.
    problem : why it cannot be used, or "".
    """

    record: Record
    labels: tuple[str, ...]
    problem: str


class ExampleStore:
    """The records and examples of one project. Safe to share between threads and processes.

    Files are written whole or not at all. What is heard twice changes nothing, and what is heard in another order
    leads to the same files: of one annotation the latest change stays, and a deletion is final.

    Parameters
    ----------
    folder : of this project alone.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._records = folder / "annotations"
        self._examples = folder / "examples"

    def put(self, record: Record) -> bool:
        """Keep a record unless a newer one of its annotation is kept; return whether it was news."""
        with self._locked():
            known = self._read(record.annotation)
            if known is not None and not record.is_newer_than(known):
                return False
            self._write(record)
            return True

    def delete_task(self, task: int) -> int:
        """Delete the annotations of a task; return how many there were."""
        with self._locked():
            gone = [record for record in self._all() if record.task == task and not record.deleted]
            for record in gone:
                self._write(Record(record.annotation, record.updated, task, deleted=True))
            return len(gone)

    def replace(self, records: Iterable[Record], known_before: Collection[int]) -> None:
        """Take the state that `records` are: those of `known_before` that are not among them are deleted.

        What was heard of while the records were gathered is in neither, and stays.
        """
        found = set()
        for record in records:
            found.add(record.annotation)
            self.put(record)
        with self._locked():
            for record in self._all():
                if record.annotation in known_before and record.annotation not in found and not record.deleted:
                    self._write(Record(record.annotation, record.updated, record.task, deleted=True))

    def heads(self) -> list[Record]:
        """Return all records without their regions, by the annotation's id, those that were deleted too."""
        return sorted(self._all(), key=lambda record: record.annotation)

    def whole(self, annotation: int) -> Record | None:
        """Return a record with its regions, or None if there is none of this annotation."""
        return self._read(annotation, whole=True)

    def forget(self) -> None:
        """Forget everything of the project."""
        with self._locked():
            for folder in (self._records, self._examples):
                # Renamed first: nobody ever sees half of it.
                aside = folder.with_name(f"{folder.name}.forgotten")
                shutil.rmtree(aside, ignore_errors=True)
                if folder.exists():
                    folder.replace(aside)
                    shutil.rmtree(aside, ignore_errors=True)

    def add_example(self, example: Example, version: str) -> None:
        """Keep what the model `version` made of a record, unless the record is another by now."""
        vectors = example.vectors
        labels = [] if vectors is None else np.unique(vectors.labels).tolist()
        about = {"updated": example.updated, "problem": example.problem, "labels": labels}
        arrays: dict[str, Any] = {_ABOUT: np.array(json.dumps(about))}
        if vectors is not None:
            arrays |= {
                "values": vectors.values.astype(np.float16),
                "labels": vectors.labels,
                "weights": vectors.weights,
            }
        path = self._example_path(example.annotation, version)
        with self._locked():
            known = self._read(example.annotation)
            if known is None or not known.teaches or known.updated != example.updated:
                return
            content = io.BytesIO()
            np.savez(content, allow_pickle=False, **arrays)
            write_whole(path, content.getbuffer())

    def looked_at(self, version: str) -> dict[int, Looked]:
        """Return what is known of the examples that the model `version` made, by annotation, where up to date."""
        found = {}
        for record in self.heads():
            looked = self._looked(record, version) if record.teaches else None
            if looked is not None:
                found[record.annotation] = looked
        return found

    def missing(self, version: str) -> list[Record]:
        """Return the heads of the records that the model `version` has still to look at."""
        return [record for record in self.heads() if record.teaches and self._looked(record, version) is None]

    def vectors(self, version: str, annotations: Iterable[int]) -> dict[int, Vectors]:
        """Return the vectors of examples by annotation, without those that are gone meanwhile."""
        found = {}
        for annotation in annotations:
            try:
                with np.load(self._example_path(annotation, version), allow_pickle=False) as arrays:
                    values = arrays["values"].astype(np.float32)
                    found[annotation] = Vectors(values, arrays["labels"], arrays["weights"])
            except (OSError, ValueError, KeyError, zipfile.BadZipFile):
                continue
        return found

    def state(self, version: str) -> tuple[tuple[str, int], ...]:
        """Return something that differs where records or examples do."""
        files = [*self._records.glob("*.json"), *self._example_path(0, version).parent.glob("*.npz")]
        return tuple(sorted((file.name, _changed(file)) for file in files))

    def changed(self) -> int:
        """Return when a record was last put or deleted, by whichever process, in ns; 0 where none ever was."""
        return _changed(self._records)

    def _looked(self, record: Record, version: str) -> Looked | None:
        path = self._example_path(record.annotation, version)
        try:
            with np.load(path, allow_pickle=False) as arrays:
                about = json.loads(str(arrays[_ABOUT]))
                if about["updated"] != record.updated:
                    return None
                return Looked(record, tuple(about["labels"]), about["problem"])
        except FileNotFoundError:
            return None
        # A file that another program damaged is made anew.
        except Exception as error:
            logger.warning("The example %s is unreadable (%s) and is made anew.", path, type(error).__name__)
            return None

    def _example_path(self, annotation: int, version: str) -> Path:
        return self._examples / quote(version, safe="") / f"{annotation}.npz"

    def _all(self) -> list[Record]:
        numbers = [int(path.stem) for path in self._records.glob("*.json") if path.stem.isdigit()]
        return [record for record in map(self._read, numbers) if record is not None]

    def _read(self, annotation: int, *, whole: bool = False) -> Record | None:
        path = self._records / f"{annotation}.json"
        try:
            with path.open(encoding="utf-8") as file:
                record = replace(Record(annotation), **json.loads(file.readline()))
                return replace(record, regions=json.loads(file.readline())) if whole else record
        except FileNotFoundError:
            return None
        except (ValueError, TypeError) as error:
            logger.warning("%s is unreadable (%s); run sam-inspect memory rebuild.", path, type(error).__name__)
            return None

    def _write(self, record: Record) -> None:
        head = {name: value for name, value in vars(record).items() if name != "regions"}
        # Masks are long, and only looking at an image needs them: the first line is read alone.
        content = f"{json.dumps(head)}\n{json.dumps(record.regions)}\n"
        write_whole(self._records / f"{record.annotation}.json", content.encode())
        if not record.teaches:
            for path in self._examples.glob(f"*/{record.annotation}.npz"):
                path.unlink(missing_ok=True)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self.folder.mkdir(parents=True, exist_ok=True)
        with FileLock(self.folder / "lock"):
            yield


def _changed(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except (FileNotFoundError, NotADirectoryError):
        return 0


def instant(text: str) -> datetime:
    """Return an ISO 8601 text as an instant; long ago where it is none."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return _LONG_AGO
    return found if found.tzinfo else found.replace(tzinfo=UTC)
