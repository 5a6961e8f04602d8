"""The memory of a project on disk: its records, the examples that models made of them, and an index of both."""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from filelock import FileLock

from sam_backend.files import make_folder, name_on_disk, require_inside
from sam_backend.memory.features import FeatureVectors
from sam_backend.memory.index_file import open_index, remove_index
from sam_backend.memory.index_update import folder_times, is_up_to_date, update_index
from sam_backend.memory.record_files import DamagedFileError, ExampleAbout, RecordFiles, stamp_of
from sam_backend.memory.record_index import RecordIndex
from sam_backend.memory.records import Example, ExampleHead, NewestExample, Record, RecordKey

logger = logging.getLogger(__name__)

LOCK_SECONDS = 30.0
"""Seconds that a writer waits for the other writers of a project."""

_INCOMPLETE = "incomplete"

Answer = TypeVar("Answer")


class ExampleStore:
    """The records and examples of one project. Safe to share between threads and processes.

    Files are written whole or not at all. An event that comes twice changes nothing, and events in another order lead
    to the same files: the latest change of an annotation stays, and a deletion is final. Methods that write raise
    OSError where the folder cannot be written; those that read work in a folder that cannot.

    Parameters
    ----------
    folder : Path of the project's folder.
    root : Path, a folder above it out of which no link may lead; None for the folder above.
    """

    def __init__(self, folder: Path, root: Path | None = None) -> None:
        self.folder = folder
        self._root = folder.parent if root is None else root
        self._files = RecordFiles(folder)
        self._index: RecordIndex | None = None
        self._empty = RecordIndex(None)
        self._lock = threading.Lock()
        self._writer = threading.RLock()
        # One object, so that a method that writes may call another; `_writer` keeps other threads from it.
        self._file_lock = FileLock(folder / "lock", timeout=LOCK_SECONDS, mode=0o600, thread_local=False)

    def put(self, *records: Record) -> bool:
        """Keep all records of one annotation in place of its older ones; return whether they are newer."""
        annotation = records[0].annotation
        with self._writing() as index:
            known = index.of_annotation(annotation)
            if not all(records[0].is_newer_than(record) for record in known):
                return False
            if index.is_deleted_task(records[0].task) and not records[0].deleted:
                # The deletion of the task came first.
                records = (Record(annotation, records[0].updated, records[0].task, deleted=True),)
            self._replace(index, records)
            return True

    def delete_task(self, task: int) -> int:
        """Delete the annotations of a task, also those that are heard of later; return how many there were."""
        with self._writing() as index:
            if not index.is_deleted_task(task):
                self._files.mark_deleted_task(task)
                with index.transaction():
                    index.set_deleted_tasks([task])
                    index.set_folders(self._times(index))
            return self._delete(index, [record for record in index.of_task(task) if not record.deleted])

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
        with self._writing() as index:
            for annotation in sorted(set(known_before) - set(by_annotation)):
                known = index.of_annotation(annotation) or [Record(annotation)]
                self._delete(index, [record for record in known if not record.deleted])

    def heads(self, keys: Iterable[RecordKey] | None = None) -> list[Record]:
        """Return the records without their regions, of `keys` or all, deleted ones too, sorted by their keys."""
        return self._ask(lambda index: index.heads(keys))

    def annotations(self) -> set[int]:
        """Return the ids of all annotations, deleted and damaged ones too."""
        return self._ask(lambda index: index.annotations())

    def whole(self, key: RecordKey) -> Record | None:
        """Return a record with its regions; None if there is none, or if its file is damaged, which is logged."""
        try:
            return self._files.read_record(key, whole=True)
        except DamagedFileError:
            # Logs it, and keeps that it is damaged.
            self.verify()
            return None

    def verify(self) -> None:
        """Compare the index with each file, by its time and size; needed where another program wrote into files."""
        with suppress(OSError), self._writing() as index:
            update_index(index, self._files, everything=True)

    def forget(self) -> None:
        """Forget everything of the project."""
        with self._writing() as index:
            self._files.forget()
            (self.folder / _INCOMPLETE).unlink(missing_ok=True)
            with index.transaction():
                index.clear()
                index.set_folders(self._times(index))

    def add_example(self, example: Example, version: str) -> None:
        """Write an example of the model `version`, unless its record changed in the meantime."""
        name = name_on_disk(version)
        with self._writing() as index:
            known = index.heads([example.key])
            if not known or not known[0].is_usable or known[0].updated != example.updated:
                return
            path = self._files.example_path_in(name, example.key)
            require_inside(self._root, path.parent)
            self._files.write_example(example, version)
            about = ExampleAbout(example.updated, example.labels, example.problem)
            with index.transaction():
                index.set_example(name, example.key, about, stamp_of(path))
                index.refresh_waiting(example.key[0])
                index.count_change("examples")
                index.set_folders(self._times(index, name))

    def example_heads(self, version: str) -> dict[RecordKey, ExampleHead]:
        """Return the examples that a model made, as far as they are up to date, without their vectors.

        Parameters
        ----------
        version : str, the model's version.
        """
        heads = self._ask(lambda index: index.example_heads(name_on_disk(version)))
        return {head.record.key: head for head in heads}

    def newest(self, version: str) -> list[NewestExample]:
        """Return the examples of a model that have labels, those changed last first."""
        return self._ask(lambda index: index.examples_by_time(name_on_disk(version)))

    def missing(self, version: str) -> list[Record]:
        """Return the heads of the records of which a model has still to make examples."""
        return self._ask(lambda index: index.waiting(name_on_disk(version)))

    def problems(self, version: str) -> list[tuple[int, int, str]]:
        """Return (annotation, task, reason) of every record that is no example of a model though it exists."""
        return self._ask(lambda index: index.problems(name_on_disk(version)))

    def vectors(self, version: str, keys: Iterable[RecordKey]) -> dict[RecordKey, FeatureVectors]:
        """Return the vectors of examples, without those that were deleted meanwhile; damaged ones are made anew."""
        vectors = {}
        for key in keys:
            try:
                read = self._files.read_vectors(key, version)
            except DamagedFileError as error:
                logger.warning("The example %s and is made anew.", error)
                self._drop_example(version, key)
                continue
            if read is not None:
                vectors[key] = read
        return vectors

    def state(self) -> object:
        """Return a value that changes with the records and examples."""
        return self._ask(lambda index: index.state())

    def changed(self) -> str:
        """Return a value that changes with the records, whichever process wrote them; "" if there never was one."""
        if not self.folder.is_dir():
            return ""
        identity, records, _ = self._ask(lambda index: index.state())
        return f"{identity}-{records}" if records else ""

    @property
    def is_incomplete(self) -> bool:
        """Whether events could not be kept, so that Label Studio must be asked for its annotations."""
        return (self.folder / _INCOMPLETE).exists()

    def mark_incomplete(self) -> None:
        """Keep that events could not be kept; nothing happens where that cannot be kept either."""
        with suppress(OSError):
            make_folder(self.folder)
            (self.folder / _INCOMPLETE).touch(mode=0o600)

    def mark_complete(self) -> None:
        """Keep that nothing is missing any more; OSError if it cannot be kept."""
        (self.folder / _INCOMPLETE).unlink(missing_ok=True)

    def _replace(self, index: RecordIndex, records: Sequence[Record]) -> None:
        """Write the records of one annotation, and remove its others; the index says so before and after."""
        annotation = records[0].annotation
        known, kept = index.keys_of(annotation), {record.key for record in records}
        unusable = (known | kept) - {record.key for record in records if record.is_usable}
        with index.transaction():
            index.start_writing(annotation)
        for record in records:
            self._files.write_record(record)
        for key in known - kept:
            self._files.record_path(key).unlink(missing_ok=True)
        self._remove_examples(index, unusable)
        with index.transaction():
            for record in records:
                index.set_record(record, stamp_of(self._files.record_path(record.key)))
            for key in known - kept:
                index.drop_record(key)
            index.refresh_waiting(annotation)
            index.end_writing(annotation)
            index.count_change("records")
            index.set_folders(self._times(index))

    def _take_over(self, records: Sequence[Record]) -> None:
        """Write the records of one annotation unless newer ones or the same ones are known."""
        with self._writing() as index:
            known = index.of_annotation(records[0].annotation)
            if any(record.is_newer_than(records[0]) for record in known):
                return
            before = {record.key: self.whole(record.key) for record in known}
            changed = [record for record in records if before.get(record.key) != record]
            if changed or len(known) > len(records):
                self._replace(index, records)
            # An example that could not be made can be made now, perhaps.
            again = {record.key for record in records if any(why for _, why in index.examples_of(record.key))}
            self._remove_examples(index, {record.key for record in changed} | again)
            with index.transaction():
                index.refresh_waiting(records[0].annotation)
                index.set_folders(self._times(index))

    def _delete(self, index: RecordIndex, records: Iterable[Record]) -> int:
        """Delete the annotations of records; return how many."""
        gone = {record.annotation: record for record in records}
        for annotation, record in gone.items():
            self._replace(index, [Record(annotation, record.updated, record.task, deleted=True)])
        return len(gone)

    def _remove_examples(self, index: RecordIndex, keys: Iterable[RecordKey]) -> None:
        for key in keys:
            versions = [version for version, _ in index.examples_of(key)]
            for version in versions:
                self._files.example_path_in(version, key).unlink(missing_ok=True)
            with index.transaction():
                for version in versions:
                    index.drop_example(version, key)
                    index.count_change("examples")

    def _drop_example(self, version: str, key: RecordKey) -> None:
        """Let an example be made anew; in a folder that cannot be written it stays as it is."""
        with suppress(OSError), self._writing() as index:
            self._files.example_path(key, version).unlink(missing_ok=True)
            with index.transaction():
                index.drop_example(name_on_disk(version), key)
                index.refresh_waiting(key[0])
                index.count_change("records")
                index.set_folders(self._times(index))

    def _times(self, index: RecordIndex, *more: str) -> dict[str, int]:
        known = [name.partition("/")[2] for name in index.folders() if "/" in name]
        return folder_times(self._files, {*known, *more})

    def _ask(self, question: Callable[[RecordIndex], Answer]) -> Answer:
        """Return what an index that is up to date answers; a damaged one is made anew."""
        if not self.folder.is_dir():
            return question(self._empty)
        try:
            return question(self._up_to_date())
        except sqlite3.DatabaseError as error:
            self._start_index_anew(error)
            return question(self._up_to_date())

    def _up_to_date(self) -> RecordIndex:
        with self._lock:
            self._index = index = open_index(self.folder, self._index)
        if is_up_to_date(index, self._files):
            return index
        try:
            with self._writing() as index:
                return index
        except OSError:
            # The folder cannot be written, so this process has an index of its own.
            with self._lock:
                self._index = index = open_index(self.folder, self._index, in_memory=True)
            update_index(index, self._files)
            return index

    def _start_index_anew(self, error: sqlite3.Error) -> None:
        logger.warning("The index of %s is damaged (%s) and made anew.", self.folder, error)
        with self._lock:
            if self._index is not None and self._index.path is not None:
                remove_index(self.folder)
            self._index = None

    @contextmanager
    def _writing(self) -> Iterator[RecordIndex]:
        """Lock the project for all other writers, and yield an index that is up to date."""
        require_inside(self._root, self.folder, self._files.records, self._files.examples, Path(self._file_lock.lock_file))
        make_folder(self.folder)
        if not self._writer.acquire(timeout=LOCK_SECONDS):
            raise TimeoutError(f"{self.folder} is being written by another thread for {LOCK_SECONDS:g} s")
        try:
            with self._file_lock:
                with self._lock:
                    self._index = index = open_index(self.folder, self._index)
                if not is_up_to_date(index, self._files) and update_index(index, self._files):
                    self.mark_incomplete()
                yield index
        except sqlite3.Error as error:
            if not isinstance(error, sqlite3.OperationalError):
                self._start_index_anew(error)
            raise OSError(f"the index of {self.folder} cannot be used: {error}") from error
        finally:
            self._writer.release()
