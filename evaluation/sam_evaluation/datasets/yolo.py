"""YOLO's segmentation format: one text file of polygons per image."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from pydantic import BaseModel

from sam_backend.arrays import BoolArray
from sam_backend.polygons import polygon_mask
from sam_backend.samples import Sample
from sam_backend.validation import checked
from sam_evaluation.datasets.dataset import Dataset, DatasetCard
from sam_evaluation.datasets.instances import objects_of_instances
from sam_evaluation.datasets.objects import DEFAULT_RULE, ObjectRule
from sam_evaluation.datasets.sample_files import image_files, read_image, require_some
from sam_evaluation.errors import BrokenSampleError, EvaluationError

# Tools write points at the edge of an image slightly outside it.
_SLACK = 0.01


class _Names(BaseModel, frozen=True):
    names: list[str | int] | dict[int, str | int]


@dataclass(frozen=True)
class Yolo(Dataset):
    """Rows of `class x1 y1 x2 y2 ...` with coordinates from 0 to 1 of the width and height; every row is one object.

    An image without a text file, or with an empty one, has no objects.

    Parameters
    ----------
    folder : Path, the folder of the data set.
    rule : ObjectRule, of which only `min_area` applies.
    split : str, the name of a split in data.yaml, or of its folder.
    """

    folder: Path
    rule: ObjectRule = DEFAULT_RULE
    split: str = "val"

    card = DatasetCard(
        name="yolo",
        title="YOLO segmentation",
        layout="data.yaml with names (or classes.txt, one per line), and images/<split>/ with labels/<split>/*.txt, or "
        "<split>/images/ with <split>/labels/, or images/ with labels/; data.yaml may name the folder of a split.",
        licence="of the data set in this format",
        source="https://docs.ultralytics.com/datasets/segment/",
    )

    def names(self) -> Sequence[str]:
        """Return the names of the image files of the split."""
        return require_some((path.name for path in image_files(self._folders[0])), self.folder, self.card.layout)

    def load(self, name: str) -> Sample:
        """Read an image and its polygons."""
        images, labels = self._folders
        image = read_image(images / name)
        path = (labels / name).with_suffix(".txt")
        instances = self._instances(path, (image.shape[0], image.shape[1])) if path.is_file() else ()
        return Sample(name, image, objects_of_instances(instances, self.rule))

    def _instances(self, path: Path, size: tuple[int, int]) -> Iterator[tuple[BoolArray, str]]:
        try:
            rows = path.read_text(encoding="utf-8").splitlines()
        except (OSError, ValueError) as error:
            raise BrokenSampleError(f"{path} cannot be read ({error}).") from None
        for number, row in enumerate(rows, start=1):
            if not row.strip():
                continue
            what = f"Row {number} of {path}"
            try:
                label, *values = (float(value) for value in row.split())
            except ValueError:
                raise BrokenSampleError(
                    f"{what} should hold the numbers class x1 y1 x2 y2 ...; got '{row[:40]}'."
                ) from None
            if len(values) == 4:
                raise BrokenSampleError(f"{what} is a box, class x y width height; a polygon is needed.")
            if len(values) < 6 or len(values) % 2:
                raise BrokenSampleError(
                    f"{what} needs a class and at least three points; it has {len(values)} coordinates."
                )
            if not all(-_SLACK <= value <= 1 + _SLACK for value in values):
                raise BrokenSampleError(
                    f"{what} has coordinates that are not from 0 to 1; divide them by the image's size."
                )
            if label not in self._classes:
                raise BrokenSampleError(
                    f"{what} has the class {label:g}, but only {len(self._classes)} classes have names."
                )
            yield polygon_mask(np.reshape(values, (-1, 2)) * (size[1], size[0]), size), self._classes[label]

    @cached_property
    def _config(self) -> dict[str, Any] | None:
        """The content of data.yaml, or None without that file."""
        path = self.folder / "data.yaml"
        if not path.is_file():
            return None
        try:
            config = yaml.safe_load(path.read_bytes())
        except (OSError, ValueError, yaml.YAMLError) as error:
            raise EvaluationError(f"{path} is not valid YAML ({' '.join(str(error).split())}).") from None
        if not isinstance(config, dict):
            raise EvaluationError(
                f"{path} should hold the names of the classes and the folders of the splits; see {self.card.source}."
            )
        return config

    @cached_property
    def _classes(self) -> Mapping[float, str]:
        if self._config is not None:
            names = checked(_Names, self._config, str(self.folder / "data.yaml"), EvaluationError).names
            pairs = names.items() if isinstance(names, dict) else enumerate(names)
            return {float(number): str(name) for number, name in pairs}
        try:
            lines = (self.folder / "classes.txt").read_text(encoding="utf-8").splitlines()
        except (OSError, ValueError):
            raise EvaluationError(f"{self.folder} has no names of classes. Expected: {self.card.layout}") from None
        return {float(number): line.strip() for number, line in enumerate(lines) if line.strip()}

    @cached_property
    def _folders(self) -> tuple[Path, Path]:
        """The folders of the images and of the labels of the split."""
        # Names of classes that cannot be read are reported before any image is read.
        _ = self._classes
        config = self._config or {}
        candidates = [
            self.folder / "images" / self.split,
            self.folder / self.split / "images",
            self.folder / "images",
        ]
        if isinstance(config.get(self.split), str):
            base, split = self.folder / str(config.get("path") or ""), config[self.split]
            # Some tools write a path that is relative to a folder of the machine that exported the data.
            candidates = [base / split, self.folder / split, self.folder / split.removeprefix("../"), *candidates]
        for images in candidates:
            if image_files(images):
                labels = _labels_of(images)
                if labels is None or not labels.is_dir():
                    raise EvaluationError(f"{images} has no folder of labels. Expected: {self.card.layout}")
                return images, labels
        raise EvaluationError(f"{self.folder} holds no images of the split {self.split}. Expected: {self.card.layout}")


def _labels_of(images: Path) -> Path | None:
    """Return the folder of the labels: the last `images` in the path becomes `labels`; None if there is no `images`."""
    parts = list(images.parts)
    places = [index for index, part in enumerate(parts) if part == "images"]
    return Path(*parts[: places[-1]], "labels", *parts[places[-1] + 1 :]) if places else None
