"""A memory keeps its records whatever happens to its index, its folder and the processes that write it."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest

from sam_backend.errors import BadRequestError
from sam_backend.memory import indexed_folder, record_index
from sam_backend.memory.example_masks import masks_on_image
from sam_backend.memory.example_store import ExampleStore
from sam_backend.memory.features import AcceptedMask, FeatureVectors
from sam_backend.memory.record_files import RecordFiles
from sam_backend.memory.records import Example, Record
from sam_backend.segmenters import Embedding
from threshold_segmenter import ThresholdSegmenter

SEGMENTER = ThresholdSegmenter()
VECTORS = FeatureVectors(np.ones((2, 4), np.float32), np.array(["", "red"]), np.ones(2, np.float32))


def record(number, second=0, **more):
    return Record(number, f"2026-11-23T05:00:{second:02d}Z", number, f"/{number}.png", [{"id": "a"}], **more)


@pytest.fixture
def store(tmp_path):
    store = ExampleStore(tmp_path / "project")
    for number in (1, 2):
        store.put(record(number))
        store.add_example(Example((number, 0), record(number).updated, VECTORS), "nano-1")
    return store


@pytest.fixture
def opened(monkeypatch):
    """The keys of the records that are read from their files, and of the examples."""
    keys = []
    read_record, read_about = RecordFiles.read_record, RecordFiles.read_about

    def count_record(files, key, **more):
        keys.append(key)
        return read_record(files, key, **more)

    def count_example(files, path):
        keys.append(path.stem)
        return read_about(files, path)

    monkeypatch.setattr(RecordFiles, "read_record", count_record)
    monkeypatch.setattr(RecordFiles, "read_about", count_example)
    return keys


def ids(store):
    return [head.annotation for head in store.heads()]


def test_an_event_and_a_check_open_no_file_of_another_record(store, opened):
    for used in (store, ExampleStore(store.folder)):
        used.put(record(3 if used is store else 4))
        assert used.missing("nano-1")
        used.changed(), used.state(), used.newest("nano-1"), used.problems("nano-1")
        assert used.example_heads("nano-1")
    assert opened == []


@pytest.mark.parametrize("damage", ["missing", "garbage", "half", "other version"])
def test_an_index_that_is_lost_or_damaged_is_made_again(store, damage, caplog):
    path = store.folder / "index.sqlite"
    before = path.read_bytes()
    if damage == "missing":
        path.unlink()
    elif damage == "other version":
        path.write_bytes(before[:60] + (99).to_bytes(4, "big") + before[64:])
    else:
        path.write_bytes(os.urandom(5000) if damage == "garbage" else before[: len(before) // 2])
    again = ExampleStore(store.folder)
    assert ids(again) == [1, 2]
    assert ("made again" in caplog.text) == (damage != "missing")
    # After an upgrade, nothing is.
    assert "damaged" not in caplog.text or damage != "other version"
    assert list(again.example_heads("nano-1")) == [(1, 0), (2, 0)]
    assert again.put(record(3))
    assert ids(ExampleStore(store.folder)) == [1, 2, 3]
    assert not again.put(record(1))


def test_an_index_that_is_damaged_while_it_is_open_costs_nothing(store):
    path = store.folder / "index.sqlite"
    content = bytearray(path.read_bytes())
    content[4096:] = bytes(len(content) - 4096)
    path.write_bytes(content)
    assert ids(store) == [1, 2]
    assert store.put(record(3))


@pytest.mark.parametrize("offset", [4100, 8200, 12300])
@pytest.mark.parametrize("is_open", [False, True])
def test_an_index_with_some_damaged_bytes_is_made_again(store, offset, is_open):
    path = store.folder / "index.sqlite"
    content = bytearray(path.read_bytes())
    content[offset : offset + 3000] = np.random.default_rng(offset).bytes(len(content[offset : offset + 3000]))
    path.write_bytes(content)
    again = store if is_open else ExampleStore(store.folder)
    assert again.changed() is not None
    assert ids(again) == [1, 2]
    assert again.put(record(3))


@pytest.mark.parametrize(
    "change",
    [
        "DELETE FROM meta",
        "UPDATE meta SET value = 'x' WHERE name = 'records'",
        "UPDATE records SET updated = x'ff', task = 'x'; DELETE FROM meta",
    ],
)
def test_an_index_whose_values_have_no_meaning_is_made_again(store, change):
    sql = sqlite3.connect(store.folder / "index.sqlite")
    sql.executescript(change)
    sql.close()
    again = ExampleStore(store.folder)
    assert again.changed() is not None
    assert ids(again) == [1, 2]


@pytest.mark.parametrize("kind", ["folder", "loop"])
def test_a_record_that_cannot_be_opened_costs_only_itself(store, kind):
    path = store.folder / "annotations" / "7.json"
    path.mkdir() if kind == "folder" else path.symlink_to(path)
    again = ExampleStore(store.folder)
    assert ids(again) == [1, 2]
    assert again.put(record(3))
    assert ids(again) == [1, 2, 3]


@pytest.mark.parametrize(
    "damage",
    [
        *({"task": 2**70}, {"task": -1}, {"prediction": 2**70}, {"masks": {"a": "1"}}, {"masks": {"a": 2**70}}),
        *({"image": None}, {"left_out": 5}, {"updated": None}, {"deleted": "x"}),
    ],
    ids=str,
)
def test_a_record_with_fields_of_another_kind_costs_only_itself(store, damage):
    head = {"annotation": 7, "updated": "", "task": 7, "image": "/7.png", "left_out": "", "deleted": False, "index": 0}
    (store.folder / "annotations" / "7.json").write_text(f"{json.dumps(head | damage)}\n[]\n")
    again = ExampleStore(store.folder)
    assert ids(again) == [1, 2]
    assert [number for number, _, _ in again.problems("nano-1")] == [7]


def test_a_home_folder_of_the_version_before_has_no_index(store):
    (store.folder / "index.sqlite").unlink()
    (store.folder / "deleted-tasks").rmdir() if (store.folder / "deleted-tasks").exists() else None
    again = ExampleStore(store.folder)
    assert ids(again) == [1, 2]
    assert again.missing("nano-1") == []


def test_files_that_another_program_adds_or_removes_are_seen(store):
    other = ExampleStore(store.folder.with_name("other"))
    other.put(record(7))
    (other.folder / "annotations" / "7.json").rename(store.folder / "annotations" / "7.json")
    (store.folder / "annotations" / "1.json").unlink()
    assert ids(store) == [2, 7]
    assert [head.annotation for head in store.missing("nano-1")] == [7]


def test_a_folder_that_is_removed_while_it_is_open_is_empty(store):
    for path in sorted(store.folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    store.folder.rmdir()
    assert ids(store) == []
    assert not store.folder.exists()
    assert store.put(record(5))
    assert ids(ExampleStore(store.folder)) == [5]


def test_a_kill_between_the_file_and_its_index_is_made_up_for(store, monkeypatch):
    class Killed(BaseException):
        pass

    def kill(*_arguments):
        raise Killed

    store.put(record(3), record(3, index=1))
    with monkeypatch.context() as patched:
        patched.setattr(indexed_folder.RecordIndex, "end_writing", kill)
        with pytest.raises(Killed):
            store.put(record(3, 9))
    again = ExampleStore(store.folder)
    assert [(head.annotation, head.index, head.updated[-3:-1]) for head in again.heads()] == [
        (1, 0, "00"), (2, 0, "00"), (3, 0, "09")
    ]  # fmt: skip
    # Nobody knows whether all images of the annotation were written, so Label Studio is asked.
    assert again.gaps.is_incomplete


WRITER = """
import sys
from contextlib import closing
from pathlib import Path
from sam_backend.memory.example_store import ExampleStore
from sam_backend.memory.records import Record
store = ExampleStore(Path(sys.argv[1]))
for number in range(int(sys.argv[2]), 10**6):
    store.put(Record(number, "2026-11-23T05:00:00Z", number, "/a.png", [{"rle": [1] * 5000}]))
    print(number, flush=True)
"""


def test_processes_that_are_killed_lose_nothing_that_they_said_was_kept(tmp_path):
    folder, kept = tmp_path / "project", -1
    for _ in range(4):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(folder), str(kept + 1)], stdout=subprocess.PIPE, text=True
        )
        for _ in range(7):
            kept = int(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
        rest, _ = process.communicate()
        kept = max([kept, *map(int, rest.split())])
        store = ExampleStore(folder)
        assert set(range(kept + 1)) <= set(ids(store)) <= set(range(kept + 2))
        assert all(store.whole(head.key) for head in store.heads())


def test_a_folder_that_cannot_be_written_is_read_and_refuses_events(store, monkeypatch):
    if os.geteuid() == 0:
        # Permissions do not hold root back.
        monkeypatch.setattr(os, "access", lambda *_: False)

        def refuse(*_arguments, **_more):
            raise OSError(30, "Read-only file system")

        monkeypatch.setattr("sam_backend.files.os.open", refuse)
        monkeypatch.setattr("filelock.FileLock.acquire", refuse)
    else:
        store.folder.chmod(0o500)
    again = ExampleStore(store.folder)
    with pytest.raises(OSError, match=r"Read-only|denied"):
        again.put(record(3))
    assert ids(again) == [1, 2]
    assert [head.annotation for head in again.missing("nano-2")] == [1, 2]
    assert again.example_heads("nano-1")
    monkeypatch.undo()
    store.folder.chmod(0o700)
    assert again.put(record(3))
    assert ids(again) == ids(store) == [1, 2, 3]


def test_a_link_that_leads_out_of_the_home_folder_is_not_followed(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    home = tmp_path / "home"
    for name in ("annotations", "examples", "lock"):
        store = ExampleStore(home / name / "project", home)
        (home / name / "project").mkdir(parents=True)
        (home / name / "project" / name).symlink_to(tmp_path / "elsewhere", target_is_directory=True)
        with pytest.raises(OSError, match="outside"):
            store.put(record(1))
    (home / "folder").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    with pytest.raises(OSError, match="outside"):
        ExampleStore(home / "folder" / "project", home).put(record(1))
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_the_deletion_of_a_task_that_comes_first_wins(store):
    assert store.delete_task(9) == 0
    late = replace(record(9), task=9)
    for used in (store, ExampleStore(store.folder)):
        used.put(late)
        assert [head.annotation for head in used.heads() if not head.deleted] == [1, 2]
        assert used.missing("nano-1") == []
    (store.folder / "index.sqlite").unlink()
    store.put(replace(record(10), task=9))
    assert [head.annotation for head in store.heads() if not head.deleted] == [1, 2]


def test_files_and_folders_are_their_owners_alone(store):
    modes = {path.name: path.stat().st_mode & 0o777 for path in [store.folder, *store.folder.rglob("*")]}
    assert all(mode in (0o600, 0o700) for mode in modes.values()), modes


def test_a_mask_that_claims_to_be_huge_is_refused_before_it_is_decoded():
    def read(_record, _view):
        raise AssertionError("decoded")

    for size in ((10**9, 10**9), (10**30, 5), (float("nan"), 5), ([5], 5)):
        region = {"original_height": size[0], "original_width": size[1]}
        with pytest.raises(BadRequestError, match="draw it again"):
            masks_on_image(replace(record(1), regions=[region]), SEGMENTER, Embedding({}, (5, 5)), read)


@pytest.mark.parametrize("error", [TypeError("unhashable type: 'list'"), MemoryError(), RecursionError("deep")])
def test_whatever_is_wrong_with_one_record_is_its_own_problem(error):
    def read(_record, _view):
        raise error

    with pytest.raises(BadRequestError, match="draw it again"):
        masks_on_image(record(1), SEGMENTER, Embedding({}, (5, 5)), read)
    good = [AcceptedMask(np.ones((5, 5), bool), "red")]
    assert len(masks_on_image(record(1), SEGMENTER, Embedding({}, (5, 5)), lambda *_: good)) == 1


def test_a_server_that_reads_for_long_keeps_one_event_from_being_written_and_not_the_next(tmp_path, monkeypatch):
    monkeypatch.setattr(record_index, "_WAIT_SECONDS", 0.01)
    store = ExampleStore(tmp_path / "project")
    store.put(record(1))
    with closing(sqlite3.connect(store.folder / "index.sqlite")) as other:
        reading = other.execute("SELECT * FROM records")
        with pytest.raises(OSError, match="database is locked"):
            store.put(record(2))
        reading.fetchall()
    store.put(record(3))
    assert ids(store) == [1, 3]
    store.put(record(2))
    assert ids(store) == ids(ExampleStore(store.folder)) == [1, 2, 3]
