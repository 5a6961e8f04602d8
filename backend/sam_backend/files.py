"""Files that are whole or absent, private by default, and below the folder that they belong to."""

from __future__ import annotations

import errno
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING
from urllib.parse import quote

from sam_backend.stores import StorePath

if TYPE_CHECKING:
    import sqlite3

try:
    import fcntl
except ImportError:
    # Windows has no such locks.
    fcntl = None  # type: ignore[assignment]

_PART = re.compile(r"\.\d+\.\d+\.part$")
_MAX_NAME = 120
_STALE_SECONDS = 3600


class OutsideError(OSError):
    """A link leads a file out of the folder that it belongs to."""


def write_whole(path: Path, content: bytes | memoryview, *, private: bool = True) -> None:
    """Write a file under a temporary name, then rename it; a write that fails leaves nothing behind.

    Parameters
    ----------
    path : Path, the file; its folder is made where it is missing.
    content : bytes, all of the file.
    private : bool, whether only the owner may read the file (mode 0600) and folders that are made (0700).

    Raises
    ------
    OSError
        If the file cannot be written, for example on a full disk.
    """
    with whole_file(path, private=private) as part:
        part.write_bytes(content)


def append_line(path: Path, line: str) -> None:
    """Add a line to a file that only the owner may read, in one write, so that processes do not mix theirs.

    What a killed process wrote last stays a line of its own, which readers must expect.

    Raises
    ------
    OSError
        If the file cannot be written, for example on a full disk.
    """
    make_folder(path.parent)
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_APPEND, 0o600)
    with open(descriptor, "rb+", buffering=0) as file:
        end = file.seek(0, os.SEEK_END)
        file.seek(max(end - 1, 0))
        is_torn = file.read(1) not in (b"", b"\n")
        content = b"\n" * is_torn + line.encode() + b"\n"
        # A disk that gets full takes a part of it.
        if file.write(content) < len(content):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        os.fsync(descriptor)


@contextmanager
def whole_file(path: Path, *, private: bool = True) -> Iterator[Path]:
    """Yield a temporary path beside `path` for the block to write to; it becomes `path` when the block succeeds.

    A file on a store is written to this machine first, then put there at once.

    Parameters
    ----------
    path : Path, the file; its folder is made where it is missing.
    private : bool, whether only the owner may read the file (mode 0600) and folders that are made (0700).

    Raises
    ------
    OSError
        If the file cannot be written, for example on a full disk.
    StoreError
        If its store refuses.
    """
    if isinstance(path, StorePath):
        with TemporaryDirectory(prefix="sam-inspect-") as folder:
            # Some stores tell browsers by the ending what a file is.
            written = Path(folder) / f"file{path.suffix}"
            yield written
            path.put(written)
        return
    make_folder(path.parent, private=private)
    # A name of the longest length that a file system takes leaves no room for more behind it.
    stem = path.name if len(os.fsencode(path.name)) <= _MAX_NAME else name_on_disk(path.name)
    # On machines that share the folder, two processes may have one number.
    part = path.with_name(f"{stem}.{os.getpid()}.{secrets.randbits(60)}.part")
    descriptor = -1
    try:
        if private or fcntl is not None:
            descriptor = _open_locked(part, 0o600 if private else 0o666)
        yield part
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        if private:
            part.chmod(0o600)
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    finally:
        if descriptor >= 0:
            os.close(descriptor)


def make_folder(folder: Path, *, private: bool = True) -> None:
    """Make a folder and those above it where they are missing; if `private`, only the owner may enter them."""
    try:
        if private:
            for missing in reversed([one for one in (folder, *folder.parents) if not one.exists()]):
                missing.mkdir(mode=0o700, exist_ok=True)
        folder.mkdir(parents=True, exist_ok=True)
    except FileNotFoundError:
        # What a file system without folders of users, such as /proc, says of the one that is asked for.
        raise OSError(errno.ENOTSUP, "No folder can be made there", str(folder)) from None


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """Yield a folder beside `folder` that becomes it when the block succeeds, and is gone otherwise.

    Raises
    ------
    OSError
        If it cannot be made, or `folder` holds something.
    """
    part = folder.absolute().with_name(f".{folder.absolute().name}.sam-inspect-part")
    # What a killed process left.
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        yield part
        part.replace(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def link_or_copy(file: Path, target: Path) -> None:
    """Put a file of a user at another place as well: linked, or copied where the file system has no links.

    The copy replaces what was there.
    """
    if isinstance(target, StorePath):
        target.copy_from(file)
        return
    if isinstance(file, StorePath):
        write_whole(target, file.read_bytes(), private=False)
        return
    if target.exists() and target.samefile(file):
        return
    make_folder(target.parent, private=False)
    target.unlink(missing_ok=True)
    try:
        os.link(file.resolve(), target)
    except OSError:
        with whole_file(target, private=False) as copy:
            shutil.copyfile(file, copy)


def name_on_disk(text: str) -> str:
    """Return a file name for any text: percent-encoded, or shortened with a digest where that is no good name.

    The name never is empty, `.` or `..`, has no separator, and leaves room for a suffix. Two texts have two names.
    """
    # Half of a surrogate pair has no bytes of its own.
    quoted = quote(text, safe="", errors="surrogatepass")
    if quoted and len(quoted) <= _MAX_NAME and not quoted.startswith(".") and "~" not in quoted:
        return quoted
    return f"{quoted.strip('.')[:40]}~{sha256(text.encode(errors='surrogatepass')).hexdigest()[:32]}"


def require_inside(folder: Path, *paths: Path) -> None:
    """Check that no link leads out of a folder.

    Raises
    ------
    OutsideError
        If one of the paths, with all links followed, is not below `folder`.
    """
    root = os.path.realpath(folder)
    for path in paths:
        real = os.path.realpath(path)
        if real != root and not real.startswith(root.rstrip(os.sep) + os.sep):
            raise OutsideError(
                f"{path} is a link to {real}, which is outside {folder}; nothing is written there. Put a folder in its "
                "place, or name another home folder with SAM_INSPECT_HOME."
            )


def remove_stale(path: Path) -> bool:
    """Remove a file if it is a temporary one of `whole_file` that nobody writes any more; return whether it was.

    Raises
    ------
    OSError
        If it cannot be removed.
    """
    if not _PART.search(path.name) or path.is_symlink():
        return False
    if fcntl is None:
        is_stale = time.time() - path.stat().st_mtime > _STALE_SECONDS
        if is_stale:
            path.unlink()
        return is_stale
    try:
        descriptor = os.open(path, os.O_RDWR)
    except OSError:
        return False
    try:
        is_stale = try_lock(descriptor)
        if is_stale:
            # While it is locked, so that whoever has just made it sees that it is gone.
            path.unlink(missing_ok=True)
        return is_stale
    finally:
        os.close(descriptor)


def sweep(folder: Path) -> int:
    """Remove the stale temporary files of a folder and of the folders below it; return how many."""
    count = 0
    # What a killed process was writing to a store is not there at all.
    for path in folder.rglob("*.part") if not isinstance(folder, StorePath) else ():
        with suppress(OSError):
            count += remove_stale(path)
    return count


def tighten(folder: Path) -> None:
    """Take the rights of all but the owner from a folder and everything below it; links are left as they are."""
    for place, _, names in os.walk(folder):
        for path in (place, *(os.path.join(place, name) for name in names)):
            # A file may be gone, or belong to somebody else.
            with suppress(OSError):
                mode = os.lstat(path).st_mode
                if mode & 0o077 and not os.path.islink(path):
                    os.chmod(path, mode & 0o700)


def _open_locked(part: Path, mode: int) -> int:
    """Make a file, locked, which shows `remove_stale` that somebody writes it."""
    # The file has this mode before it has content.
    descriptor = os.open(part, os.O_CREAT | os.O_EXCL | os.O_RDWR, mode)
    try:
        if fcntl is not None:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        # Before it was locked, a server that starts may have removed it.
        is_there = part.stat().st_ino == os.fstat(descriptor).st_ino
    except FileNotFoundError:
        is_there = False
    except OSError:
        # A file system without locks.
        return descriptor
    if is_there:
        return descriptor
    os.close(descriptor)
    return _open_locked(part, mode)


def try_lock(descriptor: int) -> bool:
    """Lock an open file until it is closed, also by child processes; return False if somebody else has locked it."""
    if fcntl is not None:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
    return True


@contextmanager
def transaction(sql: sqlite3.Connection) -> Iterator[None]:
    """Keep all changes of a block in a SQLite file, or none; another writer waits meanwhile."""
    sql.execute("BEGIN IMMEDIATE")
    try:
        yield
        # It fails while another process reads for long.
        sql.execute("COMMIT")
    except BaseException:
        # A full disk has undone it already, and that is what shall be told.
        if sql.in_transaction:
            sql.execute("ROLLBACK")
        raise
