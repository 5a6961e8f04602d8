"""Severstal: defects of flat sheet steel."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from sam_backend.arrays import BoolArray
from sam_backend.samples import Object, Sample
from sam_evaluation.datasets.dataset import Dataset, DatasetCard
from sam_evaluation.datasets.objects import DEFAULT_RULE, ObjectRule, objects_of_mask
from sam_evaluation.datasets.sample_files import image_files, read_image, require_some
from sam_evaluation.datasets.tally import OddShapeError, Tally
from sam_evaluation.datasets.text_files import read_text
from sam_evaluation.datasets.unread_files import files_of_unknown_kind, images_in_subfolders
from sam_evaluation.errors import EvaluationError


@dataclass(frozen=True)
class Severstal(Dataset):
    """The training images of the competition; an image without a row in `train.csv` has no defect."""

    folder: Path
    rule: ObjectRule = DEFAULT_RULE

    card = DatasetCard(
        name="severstal",
        title="Severstal: Steel Defect Detection",
        layout=(
            "train_images/*.jpg and train.csv with the columns ImageId,ClassId,EncodedPixels or "
            "ImageId_ClassId,EncodedPixels."
        ),
        licence="see the rules of the competition",
        source="https://www.kaggle.com/competitions/severstal-steel-defect-detection",
        citation="Severstal: Steel Defect Detection, Kaggle, 2019",
        domain="industrial",
    )

    def names(self) -> Sequence[str]:
        """Return the names of the files in `train_images/`."""
        files = image_files(self.folder / "train_images")
        names = require_some((path.name for path in files), self.folder, self.card.layout)
        if not self._runs:
            raise EvaluationError(f"{self.folder / 'train.csv'} lists no defect. Expected: {self.card.layout}")
        return names

    def left_out(self) -> Mapping[str, int]:
        """Return the counts of rows whose image is missing, and of files that are not read."""
        folder = self.folder / "train_images"
        missing = self._runs.keys() - {path.name for path in image_files(folder)}
        counts = files_of_unknown_kind(folder) | images_in_subfolders(folder)
        if missing:
            first = min(missing)
            counts[f"row of train.csv whose image is not in train_images (first: {first})"] = sum(
                len(self._runs[image]) for image in missing
            )
        return counts

    def load(self, name: str) -> Sample:
        """Read an image and its defects."""
        path = self.folder / "train_images" / name
        image = read_image(path)
        objects: list[Object] = []
        tally = Tally()
        for label, runs in self._runs.get(name, ()):
            try:
                mask = mask_of_runs(runs, image.shape[0], image.shape[1])
            except ValueError as error:
                detail = f"The runs of {name}, {label}, in train.csv: {error}."
                tally.odd(OddShapeError("row whose runs are not of the image", detail), label)
                continue
            tally.used += 1
            objects += objects_of_mask(mask, label, self.rule)
        return tally.sample(name, image, tuple(objects), path)

    @cached_property
    def _runs(self) -> Mapping[str, Sequence[tuple[str, str]]]:
        path = self.folder / "train.csv"
        by_image: dict[str, list[tuple[str, str]]] = {}
        try:
            if not path.is_file():
                raise EvaluationError(f"{path} is missing. Expected: {self.card.layout}")
            for image, number, runs in _rows(csv.DictReader(io.StringIO(read_text(path, EvaluationError)))):
                if runs:
                    name = image.strip().replace("\\", "/").rpartition("/")[2]
                    by_image.setdefault(name, []).append((f"class {number.strip()}", runs))
        except (OSError, ValueError, csv.Error) as error:
            raise EvaluationError(f"{path} cannot be read ({error}).") from None
        except KeyError as column:
            raise EvaluationError(f"{path} has no column {column}. Expected: {self.card.layout}") from None
        return {image: sorted(rows) for image, rows in by_image.items()}


def _rows(table: csv.DictReader[str]) -> Iterator[tuple[str, str, str]]:
    joined = "ImageId_ClassId" in (table.fieldnames or ())
    for row in table:
        if joined:
            image, _, number = (row["ImageId_ClassId"] or "").rpartition("_")
        else:
            image, number = row["ImageId"], row["ClassId"]
        # A row that was cut short has None in its last columns; pandas writes "nan" for an empty cell.
        runs = (row["EncodedPixels"] or "").strip()
        yield image or "", number or "", "" if runs.lower() in ("nan", "-1") else runs


def mask_of_runs(runs: str, height: int, width: int) -> BoolArray:
    """Return the mask, bool (H, W), of run lengths.

    Parameters
    ----------
    runs : str, `start length start length ...`; pixels are numbered from 1, column by column.
    height, width : int, the size of the image in pixels.

    Raises
    ------
    ValueError
        If `runs` is not a list of pairs of whole numbers, or a run leaves the image.
    """
    words = runs.split()
    if len(words) % 2 or not all(word.isdecimal() for word in words):
        raise ValueError(f"expected pairs of whole numbers, got {runs[:40]!r}")
    columns = np.zeros(height * width, bool)
    for start, length in zip(map(int, words[::2]), map(int, words[1::2]), strict=True):
        if start < 1 or start - 1 + length > columns.size:
            raise ValueError(f"the run {start} {length} leaves the {width} x {height} pixels of the image")
        columns[start - 1 : start - 1 + length] = True
    return np.ascontiguousarray(columns.reshape(width, height).T)
