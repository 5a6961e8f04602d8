"""The index of a project's files in SQLite, so that nobody opens them all; it can be made again from them."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sam_backend.files import transaction
from sam_backend.memory.index_schema import CLEAR, SCHEMA, VERSION
from sam_backend.memory.record_files import ExampleAbout, FileStamp
from sam_backend.memory.records import Accepted, ExampleHead, NewestExample, Record, RecordKey, instant

_WAIT_SECONDS = 10.0
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_COLUMNS_OF_HEAD = 9


class RecordIndex:
    """An index of records and examples. Safe to share between threads; processes share the file.

    Parameters
    ----------
    path : Path of the file; None for an index in memory alone.

    Raises
    ------
    sqlite3.Error
        If the file is damaged, locked, or cannot be opened; also raised by every method.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.file = 0 if path is None else path.stat().st_ino
        self._lock = threading.RLock()
        self._sql = sqlite3.connect(
            path or ":memory:", timeout=_WAIT_SECONDS, isolation_level=None, check_same_thread=False
        )
        try:
            self._sql.execute("PRAGMA journal_mode = TRUNCATE")
            # A file that a power failure damages is made again.
            self._sql.execute("PRAGMA synchronous = OFF")
            self._sql.execute("PRAGMA secure_delete = ON")
            version = self._sql.execute("PRAGMA user_version").fetchone()[0]
            if version not in (0, VERSION):
                raise sqlite3.DatabaseError("it is of another version")
            # Damaged pages would otherwise be read as records.
            if (state := self._sql.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
                raise sqlite3.DatabaseError(state)
            if version == 0:
                self._sql.executescript(SCHEMA)
        except sqlite3.Error:
            self._sql.close()
            raise

    def __del__(self) -> None:
        if hasattr(self, "_sql"):
            self._sql.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Keep all changes of the block, or none."""
        with self._lock, transaction(self._sql):
            yield

    def heads(self, keys: Iterable[RecordKey] | None = None) -> list[Record]:
        """Return the records without their regions, of `keys` or all, sorted by their keys."""
        if keys is None:
            rows = self._rows("SELECT * FROM heads ORDER BY annotation, image_index")
        else:
            one = "SELECT * FROM heads WHERE annotation = ? AND image_index = ?"
            rows = [row for key in sorted(keys) for row in self._rows(one, *key)]
        return [_record(row) for row in rows]

    def of_annotation(self, annotation: int) -> list[Record]:
        """Return the records of an annotation without their regions."""
        return [_record(row) for row in self._rows("SELECT * FROM heads WHERE annotation = ?", annotation)]

    def of_task(self, task: int) -> list[Record]:
        """Return the records of a task without their regions."""
        return [_record(row) for row in self._rows("SELECT * FROM heads WHERE task = ?", task)]

    def begun(self) -> list[Record]:
        """Return the usable records that were begun with a prediction, without their regions, sorted by their keys."""
        rows = self._rows("SELECT * FROM usable WHERE prediction <> 0 ORDER BY annotation, image_index")
        return [_record(row) for row in rows]

    def accepted(self) -> Accepted:
        """Return how many usable records there are, and the last change."""
        ((annotations, images, last),) = self._rows(
            "SELECT COUNT(DISTINCT annotation), COUNT(DISTINCT task || ' ' || image_index), MAX(updated) FROM usable"
        )
        return Accepted(annotations, images, last or "")

    def masks_by_label(self) -> Counter[str]:
        """Return label -> masks of the usable records."""
        counts: Counter[str] = Counter()
        for row in self._rows("SELECT masks FROM usable"):
            counts.update(json.loads(row[0]))
        return counts

    def keys_of(self, annotation: int) -> set[RecordKey]:
        """Return the keys of an annotation's records, damaged ones too."""
        rows = self._rows("SELECT annotation, image_index FROM records WHERE annotation = ?", annotation)
        return {(row[0], row[1]) for row in rows}

    def annotations(self) -> set[int]:
        """Return the ids of all annotations."""
        return {row[0] for row in self._rows("SELECT DISTINCT annotation FROM records")}

    def set_record(self, record: Record, stamp: FileStamp, damaged: str = "") -> None:
        """Keep the head of a record, or that its file is damaged."""
        moment = microseconds(record.updated)
        self._rows(
            "INSERT OR REPLACE INTO records VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            *(record.annotation, record.index, _text(record.updated), record.task, _text(record.image)),
            *(_text(record.left_out), int(record.deleted), record.prediction, json.dumps(record.masks)),
            *(damaged, moment, *stamp),
        )

    def drop_record(self, key: RecordKey) -> None:
        """Forget a record."""
        self._rows("DELETE FROM records WHERE annotation = ? AND image_index = ?", *key)

    def set_example(self, version: str, key: RecordKey, about: ExampleAbout, stamp: FileStamp) -> None:
        """Keep what an example says."""
        moment = microseconds(about.updated)
        labels = json.dumps(about.labels)
        self._rows(
            "INSERT OR REPLACE INTO examples VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            *(version, *key, _text(about.updated), labels, _text(about.problem), moment, *stamp),
        )

    def drop_example(self, version: str, key: RecordKey) -> None:
        """Forget an example."""
        self._rows("DELETE FROM examples WHERE version = ? AND annotation = ? AND image_index = ?", version, *key)

    def examples_of(self, key: RecordKey) -> list[tuple[str, str]]:
        """Return the versions that have an example of a record, each with the example's problem."""
        rows = self._rows("SELECT version, problem FROM examples WHERE annotation = ? AND image_index = ?", *key)
        return [(row[0], row[1]) for row in rows]

    def example_heads(self, version: str) -> list[ExampleHead]:
        """Return the examples of a version that are up to date, sorted by their keys."""
        rows = self._rows("SELECT * FROM current WHERE version = ? ORDER BY annotation, image_index", version)
        return [
            ExampleHead(_record(row), tuple(json.loads(labels)), problem)
            for row in rows
            for labels, problem in [row[_COLUMNS_OF_HEAD + 1 : _COLUMNS_OF_HEAD + 3]]
        ]

    def examples_by_time(self, version: str) -> list[NewestExample]:
        """Return the examples of a version that are up to date and have labels, those changed last first."""
        rows = self._rows(
            "SELECT annotation, image_index, labels, changed FROM current WHERE version = ? AND labels <> '[]' "
            "ORDER BY moment DESC, annotation DESC, image_index DESC",
            version,
        )
        return [((row[0], row[1]), tuple(json.loads(row[2])), row[3]) for row in rows]

    def waiting(self, version: str) -> list[Record]:
        """Return the heads of the usable records of which a version has no example, sorted by their keys."""
        if not self._rows("SELECT 1 FROM versions WHERE version = ?", version):
            try:
                with self.transaction():
                    self._rows("INSERT OR IGNORE INTO versions VALUES (?)", version)
                    self._rows("INSERT OR IGNORE INTO waiting SELECT * FROM lacking WHERE version = ?", version)
            # On a full disk the version is not kept.
            except sqlite3.OperationalError:
                made = {head.record.key for head in self.example_heads(version)}
                return [head for head in self.heads() if head.is_usable and head.key not in made]
        rows = self._rows(
            "SELECT r.* FROM waiting w JOIN heads r ON w.annotation = r.annotation AND w.image_index = r.image_index "
            "WHERE w.version = ? ORDER BY r.annotation, r.image_index",
            version,
        )
        return [_record(row) for row in rows]

    def refresh_waiting(self, annotation: int) -> None:
        """Compute again which versions have still to make examples of an annotation."""
        self._rows("DELETE FROM waiting WHERE annotation = ?", annotation)
        self._rows("INSERT INTO waiting SELECT * FROM lacking WHERE annotation = ?", annotation)

    def problems(self, version: str) -> list[tuple[int, int, str]]:
        """Return (annotation, task, reason) of every record that is no example of a version though it exists."""
        rows = self._rows(
            "SELECT annotation, task, damaged || left_out AS reason FROM records WHERE deleted = 0 AND reason <> '' "
            "UNION SELECT annotation, task, problem FROM current WHERE version = ? AND problem <> '' ORDER BY 1, 2",
            version,
        )
        return [(row[0], row[1], row[2]) for row in rows]

    def stamps_of_records(self) -> dict[RecordKey, FileStamp]:
        """Return the stamps of the records' files."""
        rows = self._rows("SELECT annotation, image_index, changed, size FROM records")
        return {(row[0], row[1]): (row[2], row[3]) for row in rows}

    def stamps_of_examples(self, version: str) -> dict[RecordKey, FileStamp]:
        """Return the stamps of the files of a version's examples."""
        rows = self._rows("SELECT annotation, image_index, changed, size FROM examples WHERE version = ?", version)
        return {(row[0], row[1]): (row[2], row[3]) for row in rows}

    def example_versions(self) -> list[str]:
        """Return the versions that have examples."""
        return [row[0] for row in self._rows("SELECT DISTINCT version FROM examples")]

    def folders(self) -> dict[str, int]:
        """Return the times of change of the folders, as they were when the index was last brought up to date."""
        return dict(self._rows("SELECT name, changed FROM folders"))

    def set_folders(self, changed: dict[str, int]) -> None:
        """Keep the times of change of folders."""
        for name, time in changed.items():
            self._rows("INSERT OR REPLACE INTO folders VALUES (?, ?)", name, time)

    def drop_folder(self, name: str) -> None:
        """Forget a folder."""
        self._rows("DELETE FROM folders WHERE name = ?", name)

    def writing(self) -> set[int]:
        """Return the annotations whose files are being written, or were when a process was killed."""
        return {row[0] for row in self._rows("SELECT annotation FROM writing")}

    def start_writing(self, annotation: int) -> None:
        """Keep that the files of an annotation are about to be written."""
        self._rows("INSERT OR IGNORE INTO writing VALUES (?)", annotation)

    def end_writing(self, annotation: int | None = None) -> None:
        """Keep that the files of an annotation, or of all, are written."""
        self._rows("DELETE FROM writing WHERE ?1 IS NULL OR annotation = ?1", annotation)

    def is_deleted_task(self, task: int) -> bool:
        """Return whether a task was deleted."""
        return bool(self._rows("SELECT 1 FROM deleted_tasks WHERE task = ?", task))

    def set_deleted_tasks(self, tasks: Iterable[int]) -> None:
        """Keep that tasks were deleted."""
        for task in tasks:
            self._rows("INSERT OR IGNORE INTO deleted_tasks VALUES (?)", task)

    def state(self) -> tuple[str, int, int]:
        """Return the index's identity, the number of changes of records, and that of examples."""
        rows = dict(self._rows("SELECT name, value FROM meta"))
        return str(rows["identity"]), int(rows["records"]), int(rows["examples"])

    def count_change(self, what: str) -> None:
        """Count a change of "records" or "examples"."""
        self._rows("UPDATE meta SET value = value + 1 WHERE name = ?", what)

    def clear(self) -> None:
        """Forget everything; the state becomes another one."""
        with self._lock:
            self._sql.executescript(CLEAR)

    def read_from(self, file: sqlite3.Connection) -> None:
        """Take over everything of a file if it is an index of this version."""
        if file.execute("PRAGMA user_version").fetchone()[0] == VERSION:
            file.backup(self._sql)

    def _rows(self, query: str, *values: Any) -> list[Any]:
        with self._lock:
            return self._sql.execute(query, values).fetchall()


def microseconds(updated: str) -> int:
    """Return the time of a change as microseconds since 1970; times that are invalid are long before."""
    return (instant(updated) - _EPOCH) // timedelta(microseconds=1)


def _text(text: str) -> str:
    """Return a text as SQLite can keep it: half of a surrogate pair becomes a question mark."""
    return text.encode(errors="replace").decode()


def _record(row: tuple[Any, ...]) -> Record:
    annotation, updated, task, image, left_out, deleted, index, prediction, masks = row[:_COLUMNS_OF_HEAD]
    return Record(annotation, updated, task, image, [], left_out, bool(deleted), index, prediction, json.loads(masks))
