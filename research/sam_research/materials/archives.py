"""Reads files of packages without unpacking them: Debian packages, wheels, and zip archives inside."""

from __future__ import annotations

import io
import lzma
import subprocess
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

from sam_research.materials.fetching import MaterialsError

_NESTED = (".pk3", ".sh3f", ".zip")


def members(path: Path, wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
    """Yield the path and the content of each wanted file of a package.

    A zip archive inside counts as a folder. A Debian package is read in one pass, and needs `dpkg-deb`.

    Raises
    ------
    MaterialsError
        If the package is damaged, or `dpkg-deb` is missing.
    """
    try:
        yield from _debian(path, wanted) if path.suffix == ".deb" else _zipped(zipfile.ZipFile(path), "", wanted)
    except FileNotFoundError:
        raise MaterialsError(f"{path.name} needs dpkg-deb, not installed here; run this on Debian.") from None
    except (tarfile.TarError, zipfile.BadZipFile, lzma.LZMAError, EOFError) as error:
        raise MaterialsError(f"{path} is damaged ({error}); delete it and run the command again.") from error


def _debian(path: Path, wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
    command = ["dpkg-deb", "--fsys-tarfile", str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as unpacking:
        try:
            with tarfile.open(fileobj=unpacking.stdout, mode="r|") as archive:
                for entry in archive:
                    name = entry.name.removeprefix("./")
                    if entry.isfile() and (name.endswith(_NESTED) or wanted(name)):
                        file = archive.extractfile(entry)
                        yield from _opened(name, file.read() if file else b"", wanted)
        finally:
            unpacking.kill()


def _zipped(archive: zipfile.ZipFile, prefix: str, wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
    with archive:
        for entry in archive.infolist():
            name = prefix + entry.filename
            if not entry.is_dir() and (name.endswith(_NESTED) or wanted(name)):
                yield from _opened(name, archive.read(entry), wanted)


def _opened(name: str, content: bytes, wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
    """Yield a file, or the wanted files of it if it is an archive."""
    if name.endswith(_NESTED):
        yield from _zipped(zipfile.ZipFile(io.BytesIO(content)), f"{name}/", wanted)
    else:
        yield name, content
