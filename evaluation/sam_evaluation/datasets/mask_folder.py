"""Images with one mask file each: the simplest format for your own images."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sam_backend.samples import Sample
from sam_evaluation.datasets.dataset import Dataset, DatasetCard
from sam_evaluation.datasets.objects import DEFAULT_RULE, ObjectRule, objects_of_labels
from sam_evaluation.datasets.sample_files import image_files, read_image, read_labels, require_size, require_some
from sam_evaluation.errors import BrokenSampleError, EvaluationError

_BINARY = {255: "object"}


@dataclass(frozen=True)
class MaskFolder(Dataset):
    """`images/` and `masks/` with files of the same stem.

    If all masks have only the values 0 and 255, the class of 255 is "object". Otherwise, each value above 0 is a
    class, named "class <value>". A file `classes.txt` with a line `<value> <name>` per class replaces these names.
    """

    folder: Path
    rule: ObjectRule = DEFAULT_RULE

    card = DatasetCard(
        name="masks",
        title="Images with masks",
        layout=(
            "images/* and masks/* with the same stem; in masks 0 is background and other values are classes; "
            "classes.txt, if present, has a line `<value> <name>` per class."
        ),
        licence="that of the images",
    )

    def names(self) -> Sequence[str]:
        """Return the names of the files in `images/`."""
        files = image_files(self.folder / "images")
        names = require_some((path.name for path in files), self.folder, self.card.layout)
        for part, content in (("masks", self._masks), ("classes.txt", self._named_classes)):
            if content is not None and not content:
                raise EvaluationError(f"{self.folder / part} is missing or empty. Expected: {self.card.layout}")
        return names

    def load(self, name: str) -> Sample:
        """Read an image and the objects of its mask."""
        image = read_image(self.folder / "images" / name)
        stem = Path(name).stem
        masks = self._masks.get(stem, [])
        if len(masks) != 1:
            came = f"there are {len(masks)}: {', '.join(path.name for path in masks)}" if masks else "there is none"
            raise BrokenSampleError(f"One mask {stem}.* was expected in {self.folder / 'masks'}, {came}.")
        labels = _read_mask(masks[0])
        require_size(image, labels, masks[0])
        return Sample(name, image, objects_of_labels(labels, self._classes(labels), self.rule))

    def _classes(self, labels: NDArray[np.int64]) -> Mapping[int, str]:
        if self._named_classes is not None:
            return self._named_classes
        return _BINARY if self._is_binary else {value: f"class {value}" for value in np.unique(labels).tolist()}

    @cached_property
    def _masks(self) -> dict[str, list[Path]]:
        by_stem: dict[str, list[Path]] = {}
        for path in image_files(self.folder / "masks"):
            by_stem.setdefault(path.stem, []).append(path)
        return by_stem

    @cached_property
    def _named_classes(self) -> dict[int, str] | None:
        path = self.folder / "classes.txt"
        if not path.exists():
            return None
        named: dict[int, str] = {}
        for number, line in enumerate(path.read_text("utf-8-sig", errors="replace").splitlines(), 1):
            value, _, name = line.strip().partition(" ")
            if not value:
                continue
            if not value.isdecimal() or not name.strip():
                raise EvaluationError(f"{path}, line {number}: expected `<value> <name>`, got {line.strip()!r}.")
            named[int(value)] = name.strip()
        return named

    @cached_property
    def _is_binary(self) -> bool:
        # All masks are read: in one mask, 255 may be one class of several. `load` reports broken masks.
        for paths in self._masks.values():
            with contextlib.suppress(BrokenSampleError):
                if not np.isin(_read_mask(paths[0]), (0, 255)).all():
                    return False
        return True


def _read_mask(path: Path) -> NDArray[np.int64]:
    if path.suffix.lower() in (".jpg", ".jpeg"):
        raise BrokenSampleError(f"The mask {path} is a JPEG, which changes values at edges; save masks as PNG.")
    return read_labels(path)
