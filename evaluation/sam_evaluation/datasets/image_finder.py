"""Finds the image that an annotation file names, also where another tool or another system wrote the path."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from sam_backend.segmenters.image_folder import IMAGE_SUFFIXES
from sam_backend.stores import files_below
from sam_evaluation.errors import BrokenSampleError

FOUND_BY_NAME = "image found by its file name, not at the path that is written"

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_DRIVE = re.compile(r"[A-Za-z]:")
_LOCAL_FILES = "data/local-files"

UPLOADED = re.compile(r"[0-9a-f]{8}-(.+)")
"""The name that Label Studio gives an uploaded file, and in it the one before."""

Parts = tuple[str, ...]


def path_parts(text: str) -> Parts:
    r"""Return the folders and the file name of a path as a tool wrote it, without what belongs to another machine.

    Examples
    --------
    >>> path_parts(r"C:\data\line 2\a.png")
    ('data', 'line 2', 'a.png')
    >>> path_parts("../images/a.png")
    ('images', 'a.png')
    >>> path_parts("/data/local-files/?d=line1/frame.png")
    ('line1', 'frame.png')
    """
    text = _of_url(text).replace("\\", "/")
    parts: list[str] = []
    for part in _DRIVE.sub("", text, count=1).split("/") if _DRIVE.match(text) else text.split("/"):
        if part == "..":
            parts = parts[:-1]
        elif part not in ("", "."):
            parts.append(part)
    return tuple(parts)


def _of_url(text: str) -> str:
    """Return the path in an address, or the text itself if it is none."""
    is_url = bool(_URL.match(text))
    if not is_url and _LOCAL_FILES not in text:
        return text
    try:
        url = urlsplit(text)
        served = parse_qs(url.query).get("d")
    except ValueError:
        return text
    # Files of Label Studio's local storage are all served at one path, which takes theirs as a query.
    if url.path.rstrip("/").endswith(_LOCAL_FILES) and served:
        return served[0]
    return unquote(url.path) if is_url else text


@dataclass(frozen=True, eq=False)
class ImageFinder:
    """The image files of a data set. A path is followed only inside the folder `root`, links included.

    Attributes
    ----------
    root : Path, the folder of the data set.
    bases : folders in `root` that a path may be relative to, the first that has the file counts.
    written : all paths that the data set names; a file name that several of them have does not decide alone.
    """

    root: Path
    bases: tuple[Path, ...]
    written: Sequence[str] = field(default=())

    def find(self, text: str) -> tuple[Path, str]:
        """Return the file of an image, and a note: `FOUND_BY_NAME`, or "" if the file is where the path says.

        The path may have back-slashes, a drive letter, the root of another machine, the form of an address, quoted
        characters, or accents that are composed differently. If the file is not there, the one file in `root` whose
        name, and as many folders above it as possible, are the same is meant.

        Raises
        ------
        BrokenSampleError
            If there is no such file, or several, or if it lies outside `root`.
        """
        path = self.place(text)
        if path is not None:
            return path, ""
        for parts in _readings(text):
            found = self._by_name(parts)
            if found is not None:
                return found
        outside = next(filter(_is_file, self._places(text)), None)
        if outside is not None:
            raise BrokenSampleError(
                f"The image {text} is at {outside.resolve()}, outside of the data set's folder {self.root}, and is not "
                "read; copy it into that folder."
            )
        where = " or ".join(str(base) for base in self.bases if base != self.root)
        also = f", its {where}" if where and len(self.bases) > 1 else ""
        raise BrokenSampleError(
            f"The image {text} is neither in {self.root}{also} nor in a folder of it; put it there."
        )

    def place(self, text: str) -> Path | None:
        """Return the file at a path, in one of the forms of `find`; None if there is none, or only outside `root`."""
        return next((path for path in self._places(text) if _is_file(path) and self._is_inside(path)), None)

    def _places(self, text: str) -> Iterator[Path]:
        for base in self.bases:
            yield base / text
        for parts in _readings(text):
            for base in self.bases:
                yield base.joinpath(*parts)

    def _is_inside(self, path: Path) -> bool:
        try:
            return path.resolve().is_relative_to(self._root)
        except (OSError, RuntimeError):
            return False

    @cached_property
    def _root(self) -> Path:
        return self.root.resolve()

    @cached_property
    def _files(self) -> dict[str, list[tuple[Path, Parts]]]:
        """All image files in the root by their names, with their normalised parts."""
        files: dict[str, list[tuple[Path, Parts]]] = {}
        for path in files_below(self.root):
            if path.suffix.lower() in IMAGE_SUFFIXES:
                parts = tuple(_normal(part) for part in path.relative_to(self.root).parts)
                files.setdefault(parts[-1].casefold(), []).append((path, parts))
        return files

    @cached_property
    def _written(self) -> dict[str, list[Parts]]:
        """The paths that the data set names, by their file names."""
        written: dict[str, list[Parts]] = {}
        for text in self.written:
            parts = _normal_parts(path_parts(text))
            if parts:
                written.setdefault(parts[-1].casefold(), []).append(parts)
        return written

    def _by_name(self, parts: Parts) -> tuple[Path, str] | None:
        wanted = _normal_parts(parts)
        names = [wanted[-1]] if wanted else []
        uploaded = UPLOADED.fullmatch(names[0]) if names else None
        for name in (*names, *([uploaded[1]] if uploaded else [])):
            candidates = [(path, have) for path, have in self._files.get(name.casefold(), []) if self._is_inside(path)]
            if not candidates:
                continue
            # The same letters in upper and lower case count less than the same name.
            scores = [(common_end(have, wanted), have[-1] == name) for _, have in candidates]
            best = [candidate for candidate, score in zip(candidates, scores, strict=True) if score == max(scores)]
            if len(best) > 1:
                where = ", ".join(str(path.parent) for path, _ in best)
                raise BrokenSampleError(
                    f"The image {'/'.join(parts)} is in several folders ({where}); keep only the annotated one."
                )
            path, have = best[0]
            alike = max(scores)[0]
            if alike == len(wanted):
                return path, ""
            rivals = [other for other in self._written.get(wanted[-1].casefold(), []) if other != wanted]
            if any(common_end(have, other) >= alike for other in rivals):
                raise BrokenSampleError(
                    f"The image {'/'.join(parts)} is not there, and {path}, which has its name, may be that of "
                    f"{'/'.join(rivals[0])}; put both images at their paths."
                )
            return path, FOUND_BY_NAME
        return None


def _readings(text: str) -> list[Parts]:
    """Return the ways to read a path: as it is written, and with its quoted characters resolved."""
    readings = [path_parts(text)]
    if "%" in text:
        readings.append(path_parts(unquote(text)))
    return [parts for parts in readings if parts]


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def _normal(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def _normal_parts(parts: Iterable[str]) -> Parts:
    return tuple(map(_normal, parts))


def common_end(one: Sequence[str], other: Sequence[str]) -> int:
    """Return how many parts at the ends of two paths are the same."""
    pairs = zip(reversed(one), reversed(other), strict=False)
    return next((index for index, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))
