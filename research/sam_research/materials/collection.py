"""The store of materials on disk: its index, and its pictures as arrays."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from sam_research.materials.fetching import MaterialsError
from sam_research.materials.sources import Kind

INDEX = "index.json"


@dataclass(frozen=True)
class Material:
    """A picture in the store: `file` below its folder, the hash of its bytes, and where it comes from."""

    file: str
    sha256: str
    kind: Kind
    package: str
    member: str
    licence: str
    authors: str


class Library:
    """The materials in `folder`, by kind, in the order of the index.

    `digest` identifies the content: it is the hash of the file names, which are hashes of the files.

    Raises
    ------
    MaterialsError
        If there is no index, or it has no picture of a kind.
    """

    def __init__(self, folder: Path) -> None:
        try:
            content = (folder / INDEX).read_bytes()
        except OSError:
            raise MaterialsError(
                f"There are no materials in {folder}; make them with `python -m sam_research materials --out {folder}`."
            ) from None
        materials = [Material(**entry) for entry in json.loads(content)]
        self.folder = folder
        self.digest = hashlib.sha256("\n".join(material.file for material in materials).encode()).hexdigest()
        self._files = {
            kind: [material.file for material in materials if material.kind == kind] for kind in get_args(Kind)
        }
        for kind, files in self._files.items():
            if not files:
                raise MaterialsError(f"{folder / INDEX} lists no {kind}; make the materials again, in another folder.")

    def any(self, rng: np.random.Generator, kind: Kind) -> NDArray[np.uint8]:
        """Return a random picture (H, W, 3) RGB, or for an object (H, W, 4) RGBA, uint8; it must not be changed."""
        files = self._files[kind]
        return _read(self.folder / files[rng.integers(len(files))])


@lru_cache(maxsize=256)
def _read(path: Path) -> NDArray[np.uint8]:
    picture = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if picture is None:
        raise MaterialsError(f"{path} is missing or damaged; delete the folder of materials and make it again.")
    order = [2, 1, 0, 3][: picture.shape[2]]
    picture = np.ascontiguousarray(picture[..., order])
    picture.flags.writeable = False
    return picture


@lru_cache(maxsize=2)
def library(folder: Path) -> Library:
    """Return the library in a folder; each process opens it once."""
    return Library(folder)
