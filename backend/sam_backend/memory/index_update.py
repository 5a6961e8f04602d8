"""Brings the index of a project's files up to date with the files, whoever changed them."""

from __future__ import annotations

import logging
from collections.abc import Collection

from sam_backend.memory.record_files import DamagedFileError, RecordFiles, stamp_of
from sam_backend.memory.record_index import RecordIndex
from sam_backend.memory.records import Record

logger = logging.getLogger(__name__)

_DAMAGED = "its file in the memory is damaged; run sam-inspect memory rebuild"


def folder_times(files: RecordFiles, versions: Collection[str] | None = None) -> dict[str, int]:
    """Return the times of the last change of a project's folders, which change with each file in them.

    Parameters
    ----------
    files : RecordFiles of the project.
    versions : names of the folders of examples; None for all that there are.
    """
    names = files.version_folders() if versions is None else versions
    times = {f"examples/{name}": stamp_of(files.examples / name)[0] for name in names}
    parts = {"annotations": files.records, "examples": files.examples, "deleted-tasks": files.deleted_tasks}
    return times | {name: stamp_of(folder)[0] for name, folder in parts.items()}


def is_up_to_date(index: RecordIndex, files: RecordFiles) -> bool:
    """Return whether no file was added, replaced or removed since the index was last brought up to date."""
    known = index.folders()
    if index.writing() or "annotations" not in known:
        return False
    versions = [name.partition("/")[2] for name in known if "/" in name]
    return folder_times(files, versions) == known


def update_index(index: RecordIndex, files: RecordFiles, *, everything: bool = False) -> bool:
    """Read the files that changed; return whether a process was killed while it wrote.

    Parameters
    ----------
    index : RecordIndex.
    files : RecordFiles.
    everything : bool, whether files in folders that are unchanged are compared by their times and sizes as well.
    """
    known, now = index.folders(), folder_times(files)
    with index.transaction():
        interrupted = index.writing()
        touched: set[int] = set()
        if everything or interrupted or known.get("annotations") != now["annotations"]:
            touched |= _update_records(index, files, interrupted)
        for name in files.version_folders():
            if everything or interrupted or known.get(f"examples/{name}") != now[f"examples/{name}"]:
                touched |= _update_examples(index, files, name)
        for name in set(index.example_versions()) - set(files.version_folders()):
            for key in index.stamps_of_examples(name):
                index.drop_example(name, key)
                touched.add(key[0])
            index.drop_folder(f"examples/{name}")
        index.set_deleted_tasks(files.scan_deleted_tasks())
        for annotation in touched:
            index.refresh_waiting(annotation)
        if touched:
            index.count_change("records")
            index.count_change("examples")
        index.end_writing()
        for name in set(known) - set(now):
            index.drop_folder(name)
        # The times of before the reading: a change meanwhile is seen the next time.
        index.set_folders(now)
    return bool(interrupted)


def _update_records(index: RecordIndex, files: RecordFiles, interrupted: set[int]) -> set[int]:
    """Read the records that changed; return their annotations."""
    known, now = index.stamps_of_records(), dict(files.scan_records())
    changed = {key for key, stamp in now.items() if known.get(key) != stamp or key[0] in interrupted}
    for key in changed:
        record, damaged = None, ""
        try:
            record = files.read_record(key)
        except DamagedFileError as error:
            logger.warning("%s; run sam-inspect memory rebuild.", error)
            record, damaged = Record(key[0], index=key[1]), _DAMAGED
        if record is None:
            index.drop_record(key)
        else:
            index.set_record(record, now[key], damaged)
    gone = known.keys() - now.keys()
    for key in gone:
        index.drop_record(key)
    return {annotation for annotation, _ in changed | gone}


def _update_examples(index: RecordIndex, files: RecordFiles, version: str) -> set[int]:
    """Read the examples of a version that changed; return their annotations."""
    known, now = index.stamps_of_examples(version), dict(files.scan_examples(version))
    changed = {key for key, stamp in now.items() if known.get(key) != stamp}
    for key in changed:
        path = files.example_path_in(version, key)
        try:
            about = files.read_about(path)
        except DamagedFileError as error:
            logger.warning("The example %s and is made again.", error)
            about = None
        if about is None:
            index.drop_example(version, key)
        else:
            index.set_example(version, key, about, now[key])
    gone = known.keys() - now.keys()
    for key in gone:
        index.drop_example(version, key)
    return {annotation for annotation, _ in changed | gone}
