"""Files that are whole or absent."""

import errno
import os
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest

from sam_backend.files import (
    append_line,
    make_folder,
    name_on_disk,
    sweep,
    transaction,
    whole_file,
    whole_folder,
    write_whole,
)


def test_a_file_replaces_the_one_before_and_makes_its_folder(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file"
    for content in (b"first", b"second"):
        write_whole(path, content)
        assert path.read_bytes() == content
    assert list(path.parent.iterdir()) == [path]


def write_half(path: Path) -> None:
    with whole_file(path) as part:
        part.write_bytes(b"half")
        raise ZeroDivisionError


def test_a_block_that_fails_keeps_the_file_before_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_whole(path, b"before")
    with pytest.raises(ZeroDivisionError):
        write_half(path)
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]


def test_a_private_file_is_its_owners_alone_from_the_start(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    with whole_file(path, private=True) as part:
        assert stat.S_IMODE(part.stat().st_mode) == 0o600
        part.write_bytes(b"token")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_what_is_not_private_follows_the_umask(tmp_path: Path) -> None:
    (tmp_path / "other").touch()
    write_whole(tmp_path / "report", b"", private=False)
    assert (tmp_path / "report").stat().st_mode == (tmp_path / "other").stat().st_mode


def test_the_longest_name_that_a_file_system_takes_can_be_written(tmp_path: Path) -> None:
    for name in ("x" * 251 + ".png", "ü" * 125 + ".png"):
        write_whole(tmp_path / name, b"1", private=False)
        assert (tmp_path / name).read_bytes() == b"1"


@pytest.mark.parametrize(
    "text", ["", ".", "..", "../../x", "a/b\\c", "1.2\0", "x" * 300, "ü" * 100, "CON", "~", "a~" + "0" * 32, "\ud800"]
)
def test_a_name_on_disk_is_one_folder_below_whatever_the_text(tmp_path: Path, text: str) -> None:
    name = name_on_disk(text)
    (tmp_path / name).mkdir()
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert len(name) <= 120
    assert name == name_on_disk(text)


def test_two_texts_have_two_names_and_an_ordinary_one_its_own() -> None:
    texts = ["1.1795411201", "x" * 300, "x" * 301, ".", "..", "", "%2E", "~", name_on_disk("x" * 300)]
    assert len({name_on_disk(text) for text in texts}) == len(texts)
    assert name_on_disk("1.1795411201") == "1.1795411201"
    assert name_on_disk("sam:vit_b-2") == "sam%3Avit_b-2"


def test_a_folder_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    def break_off() -> None:
        with whole_folder(tmp_path / "made") as part:
            (part / "half").touch()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        break_off()
    assert list(tmp_path.iterdir()) == []
    with whole_folder(tmp_path / "made") as part:
        (part / "all").touch()
    assert [path.name for path in (tmp_path / "made").iterdir()] == ["all"]


def test_a_file_that_a_starting_server_removes_before_it_is_locked_is_made_again(tmp_path: Path, monkeypatch) -> None:
    made = []
    opened = os.open

    def open_slowly(path, *options):
        descriptor = opened(path, *options)
        if not made:
            made.append(path)
            assert sweep(tmp_path) == 1
        return descriptor

    monkeypatch.setattr(os, "open", open_slowly)
    write_whole(tmp_path / "record.json", b"kept")
    assert [path.name for path in tmp_path.iterdir()] == ["record.json"]
    assert (tmp_path / "record.json").read_bytes() == b"kept"


@pytest.mark.parametrize("private", [True, False])
def test_a_file_that_somebody_writes_is_not_taken_for_a_stale_one(tmp_path: Path, private) -> None:
    with whole_file(tmp_path / "result.json", private=private) as part:
        part.write_bytes(b"whole")
        assert sweep(tmp_path) == 0
    assert (tmp_path / "result.json").read_bytes() == b"whole"


def test_processes_of_one_number_on_two_machines_write_beside_each_other(tmp_path: Path) -> None:
    with whole_file(tmp_path / "record.json") as first, whole_file(tmp_path / "record.json") as second:
        first.write_bytes(b"first")
        second.write_bytes(b"second")
    assert (tmp_path / "record.json").read_bytes() == b"first"


def write_much(sql: sqlite3.Connection) -> None:
    with transaction(sql):
        for _ in range(100):
            sql.execute("INSERT INTO kept VALUES (?)", (bytes(1000),))


def test_a_full_disk_undoes_a_transaction_and_is_what_the_error_tells() -> None:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as sql:
        sql.execute("CREATE TABLE kept (value BLOB)")
        sql.execute("PRAGMA max_page_count = 4")
        with pytest.raises(sqlite3.OperationalError, match="full"):
            write_much(sql)
        assert sql.execute("SELECT count(*) FROM kept").fetchone() == (0,)


def test_a_line_is_whole_and_a_torn_one_before_it_is_a_line_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "lines").write_bytes(b"whole\nto")
    append_line(tmp_path / "lines", "next")
    append_line(tmp_path / "lines", "last")
    assert (tmp_path / "lines").read_text().splitlines() == ["whole", "to", "next", "last"]


def test_a_line_that_does_not_fit_on_the_disk_is_an_error(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource", reason="this system has no limit of a file's size")
    append_line(tmp_path / "lines", "first")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, limits[1]))
    try:
        with pytest.raises(OSError, match="No space left on device"):
            append_line(tmp_path / "lines", "second")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.parametrize("private", [True, False])
def test_a_file_system_without_folders_is_not_said_to_miss_one(tmp_path, monkeypatch, private):
    def refuse(folder, *arguments, **options):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(folder))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(OSError, match="No folder can be made there") as raised:
        make_folder(tmp_path / "x", private=private)
    assert (raised.value.errno, raised.value.filename) == (errno.ENOTSUP, str(tmp_path / "x"))
