"""What a source of training material is: a package of a registry, and the files of it that are taken.

Patterns are those of `fnmatch`, where `*` crosses folders; a zip archive inside a package counts as a folder.
"""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal

Kind = Literal["photo", "texture", "cutout", "drawing"]


@dataclass(frozen=True)
class Selection:
    """Files of a package that share kind, licence and authors.

    Attributes
    ----------
    kind : photograph, surface texture, or an object with transparency around it, rendered (cutout) or drawn (drawing).
    patterns : paths inside the package that are taken, unless `without` matches them too.
    licence : SPDX identifier, or "public domain".
    authors : whom the package names.
    """

    kind: Kind
    patterns: tuple[str, ...]
    licence: str
    authors: str
    without: tuple[str, ...] = ()

    def takes(self, member: str) -> bool:
        """Tell whether the file `member` belongs to this selection."""
        return any(fnmatchcase(member, pattern) for pattern in self.patterns) and not any(
            fnmatchcase(member, pattern) for pattern in self.without
        )


@dataclass(frozen=True)
class Package:
    """A file that a package registry serves.

    Attributes
    ----------
    registry : whose client fetches it, apt's or pip's.
    filename : what the file is called here.
    size, sha256 : bytes and hex digits of that file.
    terms : where inside the package its licences are stated.
    selections : what is taken; the first that matches a file decides.
    """

    registry: Literal["debian", "pypi"]
    name: str
    version: str
    filename: str
    size: int
    sha256: str
    terms: str
    selections: tuple[Selection, ...]

    def selection(self, member: str) -> Selection | None:
        """Return the first selection that takes `member`."""
        return next((selection for selection in self.selections if selection.takes(member)), None)
