"""The memory of a project on disk: one file for each annotated image, and beside it the vectors a model made of it."""

from __future__ import annotations

import io
import json
import logging
import shutil
import zipfile
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import numpy as np
from filelock import FileLock

from sam_backend.files import write_whole
from sam_backend.memory.features import FeatureVectors
from sam_backend.memory.records import Example, ExampleHead, Record, RecordKey

logger = logging.getLogger(__name__)

_ABOUT = "about"


class ExampleStore:
    """The records and examples of one project. Safe to share between threads and processes.

    Files are written whole or not at all. An event that comes twice changes nothing, and events in another order lead
    to the same files: the latest change of an annotation stays, and a deletion is final.

    Parameters
    ----------
    folder : Path of the project's folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._records = folder / "annotations"
        self._examples = folder / "examples"

    def put(self, *records: Record) -> bool:
        """Keep all records of one annotation in place of its older ones; return whether they are newer."""
        with self._locked():
            known = self._of(records[0].annotation)
            if not all(records[0].is_newer_than(record) for record in known):
                return False
            self._replace(known, records)
            return True

    def delete_task(self, task: int) -> int:
        """Delete the annotations of a task; return how many there were."""
        with self._locked():
            return self._delete(lambda record: record.task == task)

    def replace(self, records: Iterable[Record], known_before: Collection[int]) -> None:
        """Take over a whole state, even where annotations that did not change are read in another way than before.

        Parameters
        ----------
        records : the records of all annotations that exist.
        known_before : the annotations that were known before `records` were gathered. Those of them that are not among
            `records` are deleted; those that came meanwhile stay.
        """
        by_annotation: dict[int, list[Record]] = {}
        for record in records:
            by_annotation.setdefault(record.annotation, []).append(record)
        for several in by_annotation.values():
            self._take_over(several)
        gone = set(known_before) - set(by_annotation)
        with self._locked():
            self._delete(lambda record: record.annotation in gone)

    def heads(self) -> list[Record]:
        """Return all records without their regions, deleted ones too, sorted by their keys."""
        return sorted(self._all(), key=lambda record: record.key)

    def whole(self, key: RecordKey) -> Record | None:
        """Return a record with its regions, or None if there is none."""
        return self._read(key, whole=True)

    def forget(self) -> None:
        """Forget everything of the project."""
        with self._locked():
            for folder in (self._records, self._examples):
                # Renamed first, so that no process sees a part of it.
                aside = folder.with_name(f"{folder.name}.forgotten")
                shutil.rmtree(aside, ignore_errors=True)
                if folder.exists():
                    folder.replace(aside)
                    shutil.rmtree(aside, ignore_errors=True)

    def add_example(self, example: Example, version: str) -> None:
        """Write an example of the model `version`, unless its record changed in the meantime."""
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
        path = self._example_path(example.key, version)
        with self._locked():
            known = self._read(example.key)
            if known is None or not known.is_usable or known.updated != example.updated:
                return
            content = io.BytesIO()
            np.savez(content, allow_pickle=False, **arrays)
            write_whole(path, content.getbuffer())

    def example_heads(self, version: str) -> dict[RecordKey, ExampleHead]:
        """Return the examples that a model made, as far as they are up to date, without their vectors.

        Parameters
        ----------
        version : str, the model's version.
        """
        heads = {}
        for record in self.heads():
            head = self._example_head(record, version) if record.is_usable else None
            if head is not None:
                heads[record.key] = head
        return heads

    def missing(self, version: str) -> list[Record]:
        """Return the heads of the records of which a model has still to make examples."""
        return [record for record in self.heads() if record.is_usable and self._example_head(record, version) is None]

    def vectors(self, version: str, keys: Iterable[RecordKey]) -> dict[RecordKey, FeatureVectors]:
        """Return the vectors of examples, without those that were deleted meanwhile."""
        vectors = {}
        for key in keys:
            try:
                with np.load(self._example_path(key, version), allow_pickle=False) as arrays:
                    values = arrays["values"].astype(np.float32)
                    vectors[key] = FeatureVectors(values, arrays["labels"], arrays["weights"])
            except (OSError, ValueError, KeyError, zipfile.BadZipFile):
                continue
        return vectors

    def state(self, version: str) -> tuple[tuple[str, int], ...]:
        """Return a value that changes with the records and examples."""
        files = [*self._records.glob("*.json"), *self._example_path((0, 0), version).parent.glob("*.npz")]
        return tuple(sorted((file.name, _changed(file)) for file in files))

    def changed(self) -> int:
        """Return the time of the last change of a record, by any process, in ns; 0 if there never was one."""
        return _changed(self._records)

    def _example_head(self, record: Record, version: str) -> ExampleHead | None:
        path = self._example_path(record.key, version)
        try:
            with np.load(path, allow_pickle=False) as arrays:
                about = json.loads(str(arrays[_ABOUT]))
                if about["updated"] != record.updated:
                    return None
                return ExampleHead(record, tuple(about["labels"]), about["problem"])
        except FileNotFoundError:
            return None
        # A file that another program damaged is made again.
        except Exception as error:
            logger.warning("The example %s is unreadable (%s) and is made anew.", path, type(error).__name__)
            return None

    def _example_path(self, key: RecordKey, version: str) -> Path:
        return self._examples / quote(version, safe="") / f"{_stem(key)}.npz"

    def _all(self) -> list[Record]:
        return self._read_all(self._records.glob("*.json"))

    def _of(self, annotation: int) -> list[Record]:
        return self._read_all([self._records / f"{annotation}.json", *self._records.glob(f"{annotation}-*.json")])

    def _read_all(self, paths: Iterable[Path]) -> list[Record]:
        keys = (_key(path.stem) for path in paths)
        return [record for record in (self._read(key) for key in keys if key) if record]

    def _read(self, key: RecordKey, *, whole: bool = False) -> Record | None:
        path = self._record_path(key)
        try:
            with path.open(encoding="utf-8") as file:
                record = replace(Record(key[0], index=key[1]), **json.loads(file.readline()))
                return replace(record, regions=json.loads(file.readline())) if whole else record
        except FileNotFoundError:
            return None
        except (ValueError, TypeError) as error:
            logger.warning("%s is unreadable (%s); run sam-inspect memory rebuild.", path, type(error).__name__)
            return None

    def _replace(self, known: Iterable[Record], records: Sequence[Record]) -> None:
        """Write the records of one annotation, and remove those that are no longer among them."""
        for record in records:
            head = {name: value for name, value in vars(record).items() if name != "regions"}
            # Masks are long, and most readers need the first line alone.
            content = f"{json.dumps(head)}\n{json.dumps(record.regions)}\n"
            write_whole(self._record_path(record.key), content.encode())
        kept = {record.key for record in records}
        for key in {record.key for record in known} - kept:
            self._record_path(key).unlink(missing_ok=True)
        for key in {record.key for record in (*known, *records)} - {
            record.key for record in records if record.is_usable
        }:
            self._remove_examples(key)

    def _take_over(self, records: Sequence[Record]) -> None:
        """Write the records of one annotation unless newer ones or the same ones are known."""
        with self._locked():
            known = self._of(records[0].annotation)
            if any(record.is_newer_than(records[0]) for record in known):
                return
            before = {record.key: self._read(record.key, whole=True) for record in known}
            changed = [record for record in records if before.get(record.key) != record]
            if changed or len(known) > len(records):
                self._replace(known, records)
            # An example that could not be made can be made now, perhaps.
            for key in {record.key for record in changed} | {
                record.key for record in records if self._has_problem(record)
            }:
                self._remove_examples(key)

    def _has_problem(self, record: Record) -> bool:
        paths = self._examples.glob(f"*/{_stem(record.key)}.npz")
        heads = (self._example_head(record, unquote(path.parent.name)) for path in paths)
        return any(head is not None and head.problem for head in heads)

    def _remove_examples(self, key: RecordKey) -> None:
        for path in self._examples.glob(f"*/{_stem(key)}.npz"):
            path.unlink(missing_ok=True)

    def _delete(self, chosen: Callable[[Record], bool]) -> int:
        """Delete annotations by their records; return how many."""
        gone = {record.annotation: record for record in self._all() if chosen(record) and not record.deleted}
        for annotation, record in gone.items():
            self._replace(self._of(annotation), [Record(annotation, record.updated, record.task, deleted=True)])
        return len(gone)

    def _record_path(self, key: RecordKey) -> Path:
        return self._records / f"{_stem(key)}.json"

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self.folder.mkdir(parents=True, exist_ok=True)
        with FileLock(self.folder / "lock"):
            yield


def _stem(key: RecordKey) -> str:
    """Return the stem of a record's file names; the index 0 is left out, as in files of earlier versions."""
    annotation, index = key
    return f"{annotation}-{index}" if index else str(annotation)


def _key(stem: str) -> RecordKey | None:
    """Return the key of a record's file; None for another file."""
    annotation, _, index = stem.partition("-")
    return (int(annotation), int(index or 0)) if annotation.isdigit() and (index or "0").isdigit() else None


def _changed(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except (FileNotFoundError, NotADirectoryError):
        return 0
