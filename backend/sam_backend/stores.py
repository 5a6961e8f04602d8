"""Folders and files on a store, such as S3: paths that the rest of the code takes for those of a disk."""

from __future__ import annotations

import errno
import io
import logging
import os
import posixpath
import re
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from stat import S_IFDIR, S_IFREG
from typing import IO, TYPE_CHECKING, Any, Self

from sam_backend.errors import StoreError
from sam_backend.extras import how_to_install, require
from sam_backend.safe_text import safe_line

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

logger = logging.getLogger(__name__)

_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://(.*)", re.DOTALL)
_COLLAPSED = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")
_PASSWORD = re.compile(r"(?!arn:)[^/:@]+:(?!\d+/)[^@]*@")
"""A user with a password, which may hold a slash; the name of an access point or a port may stand before one too."""

_SAME = {"s3a": "s3", "gcs": "gs"}
"""Other names of schemes, so that one place has one address."""

_PACKAGES = {"s3": "s3fs", "gs": "gcsfs"}
"""The package beside fsspec that an address needs, by its scheme."""

_WEB = ("http", "https")
"""Schemes of pages, which cannot be listed."""

_SERVERS = ("arrow_hdfs", "ftp", "hdfs", "jlab", "jupyter", "sftp", "smb", "ssh", "webdav", "webhdfs")
"""Schemes of addresses that name a server, which fsspec would have to be given apart from the path."""

_VERSION = "?versionId="
"""What s3fs cuts off from a name."""

_SILENCE = 10.0
"""Seconds after which a store that sends nothing is asked again, and in the end given up."""

_S3_ROUNDS = 2
"""How often s3fs begins again; each time botocore tries three times."""

_MAX_KEY = 1024
"""Bytes of a name within its bucket that S3 and Google Cloud Storage take."""

_TIMES = ("LastModified", "mtime", "updated", "created")
"""Where stores say when a file was written."""

_MAX_REASON = 300

_DISK: type[Path] = type(Path())


class StorePath(_DISK):  # type: ignore[valid-type, misc]  # the class depends on the system
    """A file or a folder on a store, by an address such as `s3://bucket/folder`.

    It is a `Path`, so that code for files of a disk takes it: joining, names and suffixes are those of a path, and
    what reads or lists asks the store, by fsspec. `write_whole` and `whole_file` write it. Functions of the system,
    such as `open` and `os.walk`, refuse it. A store has no folders of its own: one is there while a file is in it, and
    need not be made.

    What a listing says of a file is kept in its path, so `is_file` and `stat` then ask nothing more.

    Methods that ask the store raise a `FileNotFoundError` if there is no such file, and a `StoreError` if the store
    refuses or does not answer.
    """

    _listed: dict[str, Any] | None = None

    def __str__(self) -> str:
        scheme, *parts = self.parts or ("",)
        return f"{scheme}//{'/'.join(parts)}" if _COLLAPSED.fullmatch(scheme) else "/".join(self.parts)

    def __fspath__(self) -> str:
        raise StoreError(f"{self} is on a store, and this command needs a copy of it on this machine.")

    @property
    def parent(self) -> Self:
        """The folder of the file; a bucket is its own, as the root of a disk is."""
        return self if len(self.parts) == 2 and _COLLAPSED.fullmatch(self.parts[0]) else super().parent

    def is_dir(self) -> bool:
        """Return whether it is a folder with at least one file in it."""
        found = self._find()
        return found is not None and found["type"] == "directory"

    def is_file(self) -> bool:
        """Return whether it is a file."""
        found = self._find()
        return found is not None and found["type"] == "file"

    def exists(self) -> bool:
        """Return whether it is a file, or a folder with a file in it."""
        return self._find() is not None

    def is_symlink(self) -> bool:
        """Return False: a store has no links."""
        return False

    def stat(self) -> os.stat_result:
        """Return size and time of modification of a file."""
        found = self._find()
        if found is None:
            raise self._missing()
        modified: Any = next((found[key] for key in _TIMES if found.get(key)), 0)
        seconds = modified.timestamp() if hasattr(modified, "timestamp") else float(modified)
        mode = S_IFDIR if found["type"] == "directory" else S_IFREG
        times = {"st_mtime_ns": round(seconds * 1e6) * 1000}
        return os.stat_result((mode, 0, 0, 1, 0, 0, found["size"] or 0, 0, int(seconds), int(seconds)), times)

    def resolve(self) -> Self:
        """Return the path without `..`."""
        return type(self)(posixpath.normpath("/".join(self.parts)))

    def absolute(self) -> Self:
        """Return the path itself."""
        return self

    def iterdir(self) -> Iterator[Self]:
        """Yield the files and folders in a folder."""
        with self._asking() as store:
            listed = store.ls(self._key(), detail=True)
        yield from self._below(listed)

    def rglob(self, pattern: str) -> Iterator[Self]:
        """Yield the files and folders at any depth whose last parts match a pattern; see `Path.rglob`."""
        try:
            with self._asking() as store:
                files = store.find(self._key(), detail=True)
        except FileNotFoundError:
            return
        # Those of the store would stand in the place of files that have their names.
        base = self._key()
        folders = {folder for name in files for folder in _folders_above(name) if len(folder) > len(base)}
        listed = [{"name": name, "type": "directory", "size": 0} for name in folders]
        for path in self._below([*files.values(), *listed]):
            if PurePosixPath(*path.parts[len(self.parts) :]).match(pattern):
                yield path

    def glob(self, pattern: str) -> Iterator[Self]:
        """Yield the files and folders that match a pattern; `**` stands at its beginning alone; see `Path.glob`."""
        first, *others = PurePosixPath(pattern).parts
        if first == "**":
            yield from self.rglob("/".join(others))
            return
        try:
            matching = [path for path in self.iterdir() if fnmatchcase(path.name, first)]
        except (FileNotFoundError, NotADirectoryError):
            return
        for path in matching:
            if not others:
                yield path
            elif path.is_dir():
                yield from path.glob("/".join(others))

    def open(
        self,
        mode: str = "r",
        buffering: int = -1,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
    ) -> IO[Any]:
        """Open the file for reading; all of it is in memory then."""
        if mode not in ("r", "rb"):
            raise StoreError(f"{self} is on a store, where this command cannot write; name a folder of this machine.")
        content = io.BytesIO(self.read_bytes())
        return content if mode == "rb" else io.TextIOWrapper(content, encoding, errors, newline)

    def read_bytes(self) -> bytes:
        """Return the whole file."""
        with self._asking() as store:
            return bytes(store.cat_file(self._key()))

    def read_text(self, encoding: str | None = None, errors: str | None = None, newline: str | None = None) -> str:
        """Return the whole file as text."""
        with self.open("r", encoding=encoding, errors=errors, newline=newline) as file:
            return str(file.read())

    def mkdir(self, mode: int = 0o777, parents: bool = False, exist_ok: bool = False) -> None:
        """Do nothing: the first file makes the folder."""

    def unlink(self, missing_ok: bool = False) -> None:
        """Remove the file."""
        try:
            with self._asking() as store:
                store.rm_file(self._key())
        except FileNotFoundError:
            if not missing_ok:
                raise

    def fault_of_name(self) -> str:
        """Return why no store can have a file of this name, though a disk can; nothing if it can."""
        key = "/".join(self.parts[2:])
        if "\n" in key or "\r" in key:
            return "the names of a store have no line breaks"
        if _VERSION in key:
            return f"{_VERSION} is cut off from the names of a store"
        try:
            size = len(key.encode())
        except UnicodeEncodeError:
            return "the names of a store are in UTF-8"
        return f"the names of a store have {_MAX_KEY} bytes at most, this one has {size}" if size > _MAX_KEY else ""

    def put(self, file: Path) -> None:
        """Write the file: a copy of one of this machine, whole or not at all."""
        with self._asking(writing=True) as store:
            store.put_file(str(file), self._key())

    def copy_from(self, file: Path) -> None:
        """Write the file: a copy of another one; within a store, the content does not come to this machine."""
        try:
            if not isinstance(file, StorePath):
                self.put(file)
            elif file.parts[0] == self.parts[0]:
                with self._asking(writing=True) as store:
                    store.cp_file(file._key(), self._key())
            else:
                content = file.read_bytes()
                with self._asking(writing=True) as store:
                    store.pipe_file(self._key(), content)
        except StoreError:
            # A store does not say which of the two is missing.
            type(file)(file).stat()
            raise

    def _key(self) -> str:
        """Return the path that the store knows."""
        return str(self._store()._strip_protocol(str(self.resolve())))

    def _store(self) -> AbstractFileSystem:
        from fsspec import filesystem
        from fsspec.config import conf

        if not self.parts or not _COLLAPSED.fullmatch(self.parts[0]):
            raise self._missing()
        scheme = self.parts[0][:-1]
        options = _options(scheme) | conf.get(scheme, {})
        store = filesystem(scheme, use_listings_cache=False, **options)
        if scheme == "s3":
            store.retries = _S3_ROUNDS
        return store

    def _find(self) -> dict[str, Any] | None:
        """Return what the store says of the file or the folder; None if it is not there."""
        if self._listed is not None:
            return self._listed
        try:
            with self._asking() as store:
                return dict(store.info(self._key()))
        except (FileNotFoundError, NotADirectoryError):
            return None

    def _below(self, listed: Any) -> Iterator[Self]:
        """Yield the paths of a listing of this folder, without the folder itself."""
        base, unnamed = self._key(), 0
        folders = {one["name"].rstrip("/") for one in listed if one["type"] == "directory"}
        for one in listed:
            parts = one["name"].rstrip("/").removeprefix(base).removeprefix("/").split("/")
            if parts == [""] or (one["type"] == "file" and one["name"].endswith("/")):
                continue
            is_file = one["type"] == "file"
            # No path of a disk has such parts: they would lead elsewhere. No file of a disk has others in it.
            if {"", ".", ".."} & set(parts) or (is_file and (one["name"] in folders or _VERSION in one["name"])):
                unnamed += is_file
                continue
            path = self.joinpath(*parts)
            path._listed = one
            yield path
        if unnamed:
            logger.warning(
                "In %s, files with //, .. or ?versionId= in their names, or named like a folder, are left out: %d.",
                self,
                unnamed,
            )

    def _missing(self) -> FileNotFoundError:
        return FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self))

    @contextmanager
    def _asking(self, *, writing: bool = False) -> Iterator[AbstractFileSystem]:
        """Yield the store; what it raises becomes an error that callers know."""
        if writing and (fault := self.fault_of_name()):
            raise StoreError(f"{safe_line(str(self))} cannot be written: {fault}.")
        try:
            yield self._store()
        except StoreError:
            raise
        except FileNotFoundError:
            raise self._refusal("its bucket is missing") if writing else self._missing() from None
        except (NotADirectoryError, IsADirectoryError) as error:
            raise type(error)(error.errno, os.strerror(error.errno or errno.EISDIR), str(self)) from None
        # Each store has errors of its own.
        except Exception as error:
            raise self._refusal(_reason(error)) from None

    def _refusal(self, reason: str) -> StoreError:
        return StoreError(
            f"{safe_line(str(self))} cannot be used: {reason}; check the address, the credentials of this machine and "
            "their rights."
        )


def place(text: str) -> Path:
    """Return the file or the folder that a user names: by a path, or by the address of a store.

    Raises
    ------
    StoreError
        If it is an address that cannot be used here.
    """
    address = _ADDRESS.fullmatch(text)
    if not address:
        if _COLLAPSED.match(text) and is_collapsed_address(Path(text)):
            raise StoreError(f"{safe_line(text)} is an address with one slash; write {safe_line(address_of(text))}.")
        return Path(text)
    scheme = address[1].lower()
    scheme = _SAME.get(scheme, scheme)
    if scheme == "file":
        if not address[2].startswith("/"):
            raise StoreError(
                f"{safe_line(text)} has no / behind file://, as in file:///data; name the folder by its path."
            )
        return Path(address[2])
    if secret := _PASSWORD.match(address[2]):
        hidden = safe_line(f"{address[1]}://***@{address[2][secret.end() :]}")
        raise StoreError(
            f"The address {hidden} has a password in it; give it as the store's own settings and variables do."
        )
    if scheme in (*_WEB, *_SERVERS):
        raise StoreError(
            f"{safe_line(text)} is the address of a {'web page' if scheme in _WEB else 'server'}; name a folder, or a "
            "store by an address such as s3://bucket/folder."
        )
    if _VERSION in text:
        raise StoreError(f"{safe_line(text)} names one version of a file; leave {_VERSION} out.")
    require(("fsspec", *filter(None, [_PACKAGES.get(scheme)])), safe_line(text), how_to_install("stores"))
    from fsspec import get_filesystem_class

    try:
        get_filesystem_class(scheme)
    except (ValueError, ImportError) as error:
        raise StoreError(f"{safe_line(text)} cannot be used: {_reason(error)}.") from None
    return StorePath(f"{scheme}:/{address[2]}")


def _options(scheme: str) -> dict[str, Any]:
    """Return what the package of a store gets where fsspec's own configuration does not say otherwise."""
    if scheme == "s3":
        settings = {"read_timeout": _SILENCE, "retries": {"mode": "standard"}}
        # Else s3fs asks for the size of each file before it reads it, to read large ones in parts at once.
        return {"max_concurrency": 1, "config_kwargs": settings}
    if scheme == "gs":
        from aiohttp import ClientTimeout

        # Its tracebacks would stand above the sentence of the error.
        logging.getLogger("gcsfs").setLevel(logging.CRITICAL)
        # The kind of a bucket is asked for in another way, with a deadline of its own.
        timeout = ClientTimeout(sock_connect=_SILENCE, sock_read=_SILENCE)
        return {"requests_timeout": timeout, "retry_timeout": _SILENCE}
    return {}


def _reason(error: Exception) -> str:
    unsaid = "it does not answer" if isinstance(error, TimeoutError) else type(error).__name__
    said = getattr(error, "strerror", None) or str(error) or unsaid
    return safe_line(said)[:_MAX_REASON].rstrip(". ")


def _folders_above(name: str) -> Iterator[str]:
    """Yield the folders that a file of a store is in, from the innermost on."""
    while (name := name.rpartition("/")[0]).strip("/"):
        yield name


def absolute(path: Path) -> Path:
    """Return a path from the root on without `..`; links stay as they are."""
    return path.resolve() if isinstance(path, StorePath) else Path(os.path.abspath(path))


def files_below(folder: Path) -> Iterator[Path]:
    """Yield all files of a folder and its subfolders, without following links to folders."""
    if isinstance(folder, StorePath):
        yield from (path for path in folder.rglob("*") if path.is_file())
        return
    for place_of_files, _, names in os.walk(folder):
        yield from (Path(place_of_files, name) for name in names)


def address_of(collapsed: Path | str) -> str:
    """Return the address that a path of this machine was made of."""
    text = str(collapsed)
    return text.replace(":/", ":///" if text.lower().startswith("file:") else "://", 1)


def is_collapsed_address(path: Path) -> bool:
    """Return whether a path of this machine was made of the address of a store."""
    return not isinstance(path, StorePath) and bool(path.parts) and bool(_COLLAPSED.fullmatch(path.parts[0]))
