"""The files of large images on disk, so that a click reads the part that it needs and nothing is fetched again."""

from __future__ import annotations

import mmap
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Self

import numpy as np
from cachetools import LRUCache

from sam_backend.errors import BadRequestError, SamInspectError
from sam_backend.files import whole_file, write_whole
from sam_backend.segmenters import Embedding
from sam_backend.segmenters.image_files import FileReader, file_digest
from sam_backend.segmenters.image_reader import ImageReader, PixelReader
from sam_backend.segmenters.pixels import with_mapping
from sam_backend.segmenters.tiled_tiff import open_tiled_tiff
from sam_backend.settings import Settings

FOLDER = "large"
_FILE = "large.file"
_OPEN = 4
"""Files that are open at once."""


class LargeFiles:
    """Keeps the files of large images; those not used for the longest time are dropped first.

    A TIFF that is read tile by tile is kept as it is, of every other file the decoded pixels. Safe to share between
    threads; processes may share the folder.

    Parameters
    ----------
    folder : Path.
    limit_bytes : int, the limit of the files in it; a file that was just added stays.
    larger_than : int, the pixels beyond which an image is large.
    max_pixels : int, the largest image that is decoded as a whole.
    """

    def __init__(self, folder: Path, limit_bytes: int, *, larger_than: int, max_pixels: int) -> None:
        self._folder = folder
        self._limit = limit_bytes
        self._larger_than = larger_than
        self._max_pixels = max_pixels
        self._readers: LRUCache[str, ImageReader] = LRUCache(_OPEN)
        self._lock = threading.Lock()

    @classmethod
    def of_settings(cls, settings: Settings) -> Self:
        """Return the files with the limits of the settings."""
        return cls(
            settings.cache / FOLDER,
            settings.large_image_disk_mb << 20,
            larger_than=settings.large_image_pixels,
            max_pixels=settings.max_image_pixels,
        )

    def keep(self, file: bytes, name: str, page: int | None = None) -> Embedding | None:
        """Keep a file if its image is large.

        Parameters
        ----------
        file : bytes, the whole file.
        name : str, the image's name in messages.
        page : int, the page of its image, see `choose_page`.

        Returns
        -------
        Embedding or None
            What stands for the embedding of a large image: its size, its mapping and the name of the kept file. None
            for an image that is not large.

        Raises
        ------
        SamInspectError
            If it is no image or breaks off, or there is no room for it.
        """
        tiff = open_tiled_tiff(file, name, page)
        reader = FileReader(file, name, max_pixels=self._max_pixels, page=page) if tiff is None else tiff
        count = reader.pixel_count if isinstance(reader, FileReader) else reader.size[0] * reader.size[1]
        if count <= self._larger_than:
            return None
        if tiff:
            # Once kept, it would be read again and again, also when the whole file lies at its address.
            tiff.require_whole()
        stored = file_digest(file, page) + (".tif" if tiff else ".npy")
        try:
            if isinstance(reader, FileReader):
                pixels = reader.whole().pixels
                with whole_file(self._folder / stored) as part, part.open("wb") as stream:
                    np.save(stream, pixels, allow_pickle=False)
            else:
                write_whole(self._folder / stored, file)
            self._drop_oldest(stored)
        except OSError as error:
            raise SamInspectError(
                f"{name} is large and must be kept in {self._folder}, which fails: {error.strerror}. Make room there, "
                "or name another folder with SAM_INSPECT_CACHE."
            ) from error
        arrays = {_FILE: np.frombuffer(stored.encode(), np.uint8)}
        return with_mapping(Embedding(arrays, reader.size), reader.mapping)

    def reader(
        self, embedding: Embedding, name: str, fetch_file: Callable[[], bytes], page: int | None = None
    ) -> ImageReader:
        """Return the reader of a large image.

        Parameters
        ----------
        embedding : Embedding that `keep` returned.
        name : str, the image's name in messages.
        fetch_file : function that returns the whole file; called where the file is not kept any more.
        page : int, as for `keep`.

        Raises
        ------
        SamInspectError
            If the file cannot be fetched again, or is another one by now.
        """
        stored = stored_name(embedding)
        path = self._folder / stored
        with self._lock:
            reader = self._readers.get(stored)
        if reader is None:
            if not path.exists():
                again = self.keep(fetch_file(), name, page)
                if again is None or stored_name(again) != stored:
                    raise BadRequestError(f"{name} has changed since its project first used it; import it again.")
            reader = _open(path, name, page)
            with self._lock:
                self._readers[stored] = reader
        with suppress(OSError):
            os.utime(path)
        return reader

    def _drop_oldest(self, newest: str) -> None:
        sizes = {}
        for path in self._folder.iterdir():
            # Another process may have dropped it.
            with suppress(FileNotFoundError):
                sizes[path] = path.stat()
        used = sum(stat.st_size for stat in sizes.values())
        for path, stat in sorted(sizes.items(), key=lambda pair: pair[1].st_mtime):
            if used <= self._limit:
                return
            if path.name != newest:
                path.unlink(missing_ok=True)
                used -= stat.st_size


def is_large(embedding: Embedding) -> bool:
    """Return whether an embedding stands for a large image."""
    return _FILE in embedding.arrays


def stored_name(embedding: Embedding) -> str:
    """Return the name of a large image's file, equal for equal files only."""
    return embedding.arrays[_FILE].tobytes().decode()


def _open(path: Path, name: str, page: int | None) -> ImageReader:
    try:
        if path.suffix == ".npy":
            return PixelReader(np.load(path, mmap_mode="r"), digest=path.stem)
        with path.open("rb") as stream:
            reader = open_tiled_tiff(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ), name, page)
    except (OSError, ValueError) as error:
        raise SamInspectError(f"{name} cannot be read from {path}: {error}. Remove that file.") from None
    if reader is None:
        raise SamInspectError(f"{name} cannot be read from {path}, which is damaged. Remove that file.")
    return reader
