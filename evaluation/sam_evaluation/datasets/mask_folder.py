"""Images with one mask file each: the simplest format for your own images."""

from __future__ import annotations

import contextlib
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sam_backend.samples import Sample
from sam_evaluation.datasets.dataset import Dataset, DatasetCard
from sam_evaluation.datasets.instances import numbered_instances, objects_of_instances
from sam_evaluation.datasets.label_files import read_labels
from sam_evaluation.datasets.objects import DEFAULT_RULE, ObjectRule, objects_of_labels
from sam_evaluation.datasets.pixel_values import WHITE, distinct_values, rim_values, value_name, value_of_name
from sam_evaluation.datasets.sample_files import image_files, read_image, require_size, require_some
from sam_evaluation.datasets.tally import Tally
from sam_evaluation.datasets.unread_files import files_of_unknown_kind, images_in_subfolders
from sam_evaluation.errors import BrokenSampleError, EvaluationError

_BINARY = {255: "object"}


@dataclass(frozen=True)
class MaskFolder(Dataset):
    """`images/` and `masks/` with files of the same stem.

    If all masks have only the values 0 and 255, the class of 255 is "object". Otherwise, each value above 0 is a
    class, named "class <value>". In masks with colours, each colour is a class, named "class #rrggbb". A file
    `classes.txt` with a line `<value> <name>` per class replaces these names. Without it, masks with grey rims, as
    smoothing leaves them, are refused. If there is a file of the same stem in `instances/`, its numbers above 0 are the
    objects; otherwise `rule` divides the mask.
    """

    folder: Path
    rule: ObjectRule = DEFAULT_RULE

    card = DatasetCard(
        name="masks",
        title="Images with masks",
        layout=(
            "images/* and masks/* with the same stem; in masks 0 (black) is background and other values or colours are "
            "classes; classes.txt, if present, has a line `<value or #rrggbb> <name>` per class, and instances/*, if "
            "present, has the number of each pixel's object."
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
        file = self.folder / "images" / name
        image = read_image(file)
        stem = _stem(Path(name))
        masks = self._masks.get(stem, [])
        if len(masks) != 1:
            came = f"there are {len(masks)}: {', '.join(path.name for path in masks)}" if masks else "there is none"
            raise BrokenSampleError(f"One mask {stem}.* was expected in {self.folder / 'masks'}, {came}.")
        labels = self._read_mask(masks[0])
        require_size(image, labels, masks[0])
        path = self._instances.get(masks[0].stem)
        if path is None:
            return Sample(name, image, objects_of_labels(labels, self._classes(labels), self.rule), file=file)
        numbers, tally = read_labels(path), Tally()
        require_size(image, numbers, path)
        instances = numbered_instances(numbers, labels, self._classes(labels), path, tally)
        return tally.sample(name, image, objects_of_instances(instances, self.rule, tally), file)

    def classes(self) -> Sequence[str]:
        """Return the names of classes.txt, in the order of their values."""
        named = self._named_classes or {}
        return tuple(dict.fromkeys(named[value] for value in sorted(named)))

    def left_out(self) -> Mapping[str, int]:
        """Return the counts of masks without an image, and of files that are not read."""
        stems = {_stem(path) for path in image_files(self.folder / "images")}
        counts = {"mask without an image of the same name": sum(stem not in stems for stem in self._masks)}
        for folder in (self.folder / "images", self.folder / "masks"):
            counts |= files_of_unknown_kind(folder) | images_in_subfolders(folder)
        return counts

    def _classes(self, labels: NDArray[np.integer]) -> Mapping[int, str]:
        if self._named_classes is not None:
            return self._named_classes
        if self._is_binary:
            return _BINARY
        return {value: f"class {value_name(value)}" for value in distinct_values(labels).tolist()}

    def _read_mask(self, path: Path) -> NDArray[np.integer]:
        labels = read_labels(path)
        rims = rim_values(labels) if self._named_classes is None else []
        # A class may well be a thin outline of another one. White next to a single rim, or several rims, are none.
        if len(rims) > 1 or (rims and labels.max() in WHITE):
            some = ", ".join(map(value_name, rims[:4])) + (", …" if len(rims) > 4 else "")
            raise BrokenSampleError(
                f"The mask {path} has {len(rims)} grey levels or colours only along edges ({some}), as smoothing or "
                "scaling leaves them; save masks without it, or name the values that are classes in classes.txt."
            )
        return labels

    @cached_property
    def _masks(self) -> dict[str, list[Path]]:
        by_stem: dict[str, list[Path]] = {}
        for path in image_files(self.folder / "masks"):
            by_stem.setdefault(_stem(path), []).append(path)
        return by_stem

    @cached_property
    def _instances(self) -> dict[str, Path]:
        """The files in `instances/` by their stems, listed once: that takes a store as long as a single one."""
        return {path.stem: path for path in sorted((self.folder / "instances").glob("*"), reverse=True)}

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
            label = value_of_name(value)
            if label is None or not name.strip():
                raise EvaluationError(f"{path}, line {number}: expected `<value> <name>`, got {line.strip()!r}.")
            named[label] = name.strip()
        return named

    @cached_property
    def _is_binary(self) -> bool:
        # All masks are read: in one mask, 255 may be one class of several. `load` reports broken masks.
        for paths in self._masks.values():
            with contextlib.suppress(BrokenSampleError):
                if not np.isin(distinct_values(self._read_mask(paths[0])), (0, 255)).all():
                    return False
        return True


def _stem(path: Path) -> str:
    """Return the name without suffix; systems compose letters with accents in two ways."""
    return unicodedata.normalize("NFC", path.stem)
