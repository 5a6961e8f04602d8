"""Images with a mask file each, the format to bring own images in."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sam_backend.samples import Sample
from sam_evaluation.datasets.dataset import DatasetCard
from sam_evaluation.datasets.objects import DEFAULT_RULE, ObjectRule, objects_of_labels
from sam_evaluation.datasets.sample_files import image_files, read_image, read_labels, require_size, require_some
from sam_evaluation.errors import BrokenSampleError, EvaluationError

_BINARY = {255: "object"}


@dataclass(frozen=True)
class MaskFolder:
    """`images/` and `masks/` with files of the same stem.

    If no mask holds anything but 0 and 255, what is 255 is called "object"; else each value above 0 is a class, called
    "class <value>". A file `classes.txt` with a line `<value> <name>` for each class says both instead.
    """

    folder: Path
    rule: ObjectRule = DEFAULT_RULE

    card = DatasetCard(
        name="masks",
        title="Images with masks",
        layout=(
            "images/* and masks/* with the same stem; in masks 0 is background and other values are classes; "
            "classes.txt, if there, names a class a line as `<value> <name>`."
        ),
        licence="that of the images",
    )

    def names(self) -> Sequence[str]:
        """Return the names of the files in `images/`."""
        found = (path.name for path in image_files(self.folder / "images"))
        names = require_some(found, self.folder, self.card.layout)
        for part, content in (("masks", self._masks), ("classes.txt", self._named)):
            if content is not None and not content:
                raise EvaluationError(f"{self.folder / part} is missing or empty. Expected: {self.card.layout}")
        return names

    def load(self, name: str) -> Sample:
        """Read an image and the objects of its mask."""
        image = read_image(self.folder / "images" / name)
        stem = Path(name).stem
        found = self._masks.get(stem, [])
        if len(found) != 1:
            came = f"there are {len(found)}: {', '.join(path.name for path in found)}" if found else "there is none"
            raise BrokenSampleError(f"One mask {stem}.* was expected in {self.folder / 'masks'}, {came}.")
        labels = _read(found[0])
        require_size(image, labels, found[0])
        return Sample(name, image, objects_of_labels(labels, self._classes(labels), self.rule))

    def _classes(self, labels: NDArray[np.int64]) -> Mapping[int, str]:
        if self._named is not None:
            return self._named
        return _BINARY if self._binary else {value: f"class {value}" for value in np.unique(labels).tolist()}

    @cached_property
    def _masks(self) -> dict[str, list[Path]]:
        by_stem: dict[str, list[Path]] = {}
        for path in image_files(self.folder / "masks"):
            by_stem.setdefault(path.stem, []).append(path)
        return by_stem

    @cached_property
    def _named(self) -> dict[int, str] | None:
        path = self.folder / "classes.txt"
        if not path.exists():
            return None
        named: dict[int, str] = {}
        for number, line in enumerate(path.read_text("utf-8-sig", errors="replace").splitlines(), 1):
            value, _, name = line.strip().partition(" ")
            if not value:
                continue
            if not value.isdecimal() or not name.strip():
                raise EvaluationError(f"{path}, line {number}: expected `<value> <name>`, found {line.strip()!r}.")
            named[int(value)] = name.strip()
        return named

    @cached_property
    def _binary(self) -> bool:
        # One mask alone cannot tell: 255 may be the only class in it. Broken masks are for `load` to report.
        for paths in self._masks.values():
            with contextlib.suppress(BrokenSampleError):
                if not np.isin(_read(paths[0]), (0, 255)).all():
                    return False
        return True


def _read(path: Path) -> NDArray[np.int64]:
    if path.suffix.lower() in (".jpg", ".jpeg"):
        raise BrokenSampleError(f"The mask {path} is a JPEG, which blurs values at edges; save masks as PNG.")
    return read_labels(path)
