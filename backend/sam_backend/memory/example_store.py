"""The memory of a project on disk: its records, the examples that models made of them, and an index of both."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from sam_backend.files import name_on_disk, require_inside
from sam_backend.memory.agreement import AgreementFile
from sam_backend.memory.features import FeatureVectors
from sam_backend.memory.gaps import Gaps
from sam_backend.memory.index_update import update_index
from sam_backend.memory.indexed_folder import IndexedFolder
from sam_backend.memory.record_files import DamagedFileError, ExampleAbout, stamp_of
from sam_backend.memory.record_index import RecordIndex
from sam_backend.memory.records import Accepted, Example, ExampleHead, NewestExample, Record, RecordKey

logger = logging.getLogger(__name__)


class ExampleStore(IndexedFolder):
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
        super().__init__(folder, root)
        self.gaps = Gaps(folder)
        self.agreement = AgreementFile(folder)

    def put(self, *records: Record) -> bool:
        """Keep all records of one annotation in place of its older ones; return whether they are newer."""
        annotation = records[0].annotation
        with self.writing() as index:
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
        with self.writing() as index:
            if not index.is_deleted_task(task):
                self.files.mark_deleted_task(task)
                with index.transaction():
                    index.set_deleted_tasks([task])
                    index.set_folders(self.times(index))
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
        with self.writing() as index:
            for annotation in sorted(set(known_before) - set(by_annotation)):
                known = index.of_annotation(annotation) or [Record(annotation)]
                self._delete(index, [record for record in known if not record.deleted])

    def heads(self, keys: Iterable[RecordKey] | None = None) -> list[Record]:
        """Return the records without their regions, of `keys` or all, deleted ones too, sorted by their keys."""
        return self.ask(lambda index: index.heads(keys))

    def of_annotation(self, annotation: int) -> list[Record]:
        """Return the records of an annotation without their regions, one an image."""
        return self.ask(lambda index: index.of_annotation(annotation))

    def uncompared(self) -> list[Record]:
        """Return a head of each annotation that was begun with a prediction and not compared since its last change."""
        done = self.agreement.all()
        begun = {head.annotation: head for head in self.ask(lambda index: index.begun())}
        return [
            head for head in begun.values() if (one := done.get(head.annotation)) is None or one.updated != head.updated
        ]

    def accepted(self) -> Accepted:
        """Return how much was accepted."""
        return self.ask(lambda index: index.accepted())

    def masks_by_label(self) -> Counter[str]:
        """Return label -> accepted masks."""
        return self.ask(lambda index: index.masks_by_label())

    def annotations(self) -> set[int]:
        """Return the ids of all annotations, deleted and damaged ones too."""
        return self.ask(lambda index: index.annotations())

    def whole(self, key: RecordKey) -> Record | None:
        """Return a record with its regions; None if there is none, or if its file is damaged, which is logged."""
        try:
            return self.files.read_record(key, whole=True)
        except DamagedFileError:
            # This logs it, and keeps that it is damaged.
            self.verify()
            return None

    def verify(self) -> None:
        """Compare the index with each file, by its time and size; needed where another program wrote into files."""
        with suppress(OSError), self.writing() as index:
            update_index(index, self.files, everything=True)

    def forget(self) -> None:
        """Forget everything of the project."""
        with self.writing() as index:
            self.files.forget()
            self.gaps.forget()
            self.agreement.forget()
            index.clear()
            with index.transaction():
                index.set_folders(self.times(index))

    def add_example(self, example: Example, version: str) -> None:
        """Write an example of the model `version`, unless its record changed in the meantime."""
        name = name_on_disk(version)
        with self.writing() as index:
            known = index.heads([example.key])
            if not known or not known[0].is_usable or known[0].updated != example.updated:
                return
            path = self.files.example_path_in(name, example.key)
            require_inside(self.root, path.parent)
            self.files.write_example(example, version)
            about = ExampleAbout(example.updated, example.labels, example.problem)
            with index.transaction():
                index.set_example(name, example.key, about, stamp_of(path))
                index.refresh_waiting(example.key[0])
                index.count_change("examples")
                index.set_folders(self.times(index, name))

    def example_heads(self, version: str) -> dict[RecordKey, ExampleHead]:
        """Return the examples that a model made, as far as they are up to date, without their vectors.

        Parameters
        ----------
        version : str, the model's version.
        """
        heads = self.ask(lambda index: index.example_heads(name_on_disk(version)))
        return {head.record.key: head for head in heads}

    def newest(self, version: str) -> list[NewestExample]:
        """Return the examples of a model that have labels, those changed last first."""
        return self.ask(lambda index: index.examples_by_time(name_on_disk(version)))

    def missing(self, version: str) -> list[Record]:
        """Return the heads of the records of which a model has still to make examples."""
        return self.ask(lambda index: index.waiting(name_on_disk(version)))

    def problems(self, version: str) -> list[tuple[int, int, str]]:
        """Return (annotation, task, reason) of every record that is no example of a model though it exists."""
        return self.ask(lambda index: index.problems(name_on_disk(version)))

    def vectors(self, version: str, keys: Iterable[RecordKey]) -> dict[RecordKey, FeatureVectors]:
        """Return the vectors of examples, without those that were deleted meanwhile; damaged ones are made again."""
        vectors = {}
        for key in keys:
            try:
                read = self.files.read_vectors(key, version)
            except DamagedFileError as error:
                logger.warning("The example %s and is made again.", error)
                self._drop_example(version, key)
                continue
            if read is not None:
                vectors[key] = read
        return vectors

    def state(self) -> object:
        """Return a value that changes with the records and examples."""
        return self.ask(lambda index: index.state())

    def changed(self) -> str:
        """Return a value that changes with the records, whichever process wrote them; "" if there never was one."""
        if not self.folder.is_dir():
            return ""
        identity, records, _ = self.ask(lambda index: index.state())
        return f"{identity}-{records}" if records else ""

    def _replace(self, index: RecordIndex, records: Sequence[Record]) -> None:
        """Write the records of one annotation, and remove its others; the index says so before and after."""
        annotation = records[0].annotation
        known, kept = index.keys_of(annotation), {record.key for record in records}
        unusable = (known | kept) - {record.key for record in records if record.is_usable}
        with index.transaction():
            index.start_writing(annotation)
        for record in records:
            self.files.write_record(record)
        for key in known - kept:
            self.files.record_path(key).unlink(missing_ok=True)
        self._remove_examples(index, unusable)
        with index.transaction():
            for record in records:
                index.set_record(record, stamp_of(self.files.record_path(record.key)))
            for key in known - kept:
                index.drop_record(key)
            index.refresh_waiting(annotation)
            index.end_writing(annotation)
            index.count_change("records")
            index.set_folders(self.times(index))

    def _take_over(self, records: Sequence[Record]) -> None:
        """Write the records of one annotation unless newer ones or the same ones are known."""
        with self.writing() as index:
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
                index.set_folders(self.times(index))

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
                self.files.example_path_in(version, key).unlink(missing_ok=True)
            with index.transaction():
                for version in versions:
                    index.drop_example(version, key)
                    index.count_change("examples")

    def _drop_example(self, version: str, key: RecordKey) -> None:
        """Let an example be made again; in a folder that cannot be written it stays as it is."""
        with suppress(OSError), self.writing() as index:
            self.files.example_path(key, version).unlink(missing_ok=True)
            with index.transaction():
                index.drop_example(name_on_disk(version), key)
                index.refresh_waiting(key[0])
                index.count_change("records")
                index.set_folders(self.times(index))
