"""The list of all data set formats, and data sets by the name that a user gives."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sam_backend.names import did_you_mean
from sam_backend.stores import place
from sam_evaluation.datasets.bsds500 import Bsds500
from sam_evaluation.datasets.coco import Coco
from sam_evaluation.datasets.crackforest import CrackForest
from sam_evaluation.datasets.dagm import Dagm
from sam_evaluation.datasets.dataset import Dataset, DatasetCard
from sam_evaluation.datasets.kolektor import KolektorSdd, KolektorSdd2
from sam_evaluation.datasets.label_studio import LabelStudio
from sam_evaluation.datasets.labelme import Labelme
from sam_evaluation.datasets.lvis import Lvis
from sam_evaluation.datasets.magnetic_tile import MagneticTile
from sam_evaluation.datasets.mask_folder import MaskFolder
from sam_evaluation.datasets.mvtec_ad import MvtecAd
from sam_evaluation.datasets.mvtec_loco import MvtecLoco
from sam_evaluation.datasets.neu_seg import NeuSeg
from sam_evaluation.datasets.objects import DEFAULT_RULE, ObjectRule
from sam_evaluation.datasets.severstal import Severstal
from sam_evaluation.datasets.visa import Visa
from sam_evaluation.datasets.voc import Voc
from sam_evaluation.datasets.yolo import Yolo
from sam_evaluation.errors import EvaluationError

_FORMATS: dict[str, Any] = {
    dataset_class.card.name: dataset_class
    for dataset_class in (
        MaskFolder,
        MvtecAd,
        MvtecLoco,
        Visa,
        KolektorSdd,
        KolektorSdd2,
        MagneticTile,
        NeuSeg,
        Severstal,
        Dagm,
        CrackForest,
        Bsds500,
        Coco,
        Lvis,
        Labelme,
        Voc,
        Yolo,
        LabelStudio,
    )
}


def known_datasets() -> tuple[DatasetCard, ...]:
    """Return the cards of all formats."""
    return tuple(dataset_class.card for dataset_class in _FORMATS.values())


@dataclass(frozen=True)
class DatasetSpec:
    """A data set as a user names it: `format:folder` or `format:folder@split`.

    Attributes
    ----------
    format : str, the name of one of `known_datasets`.
    folder : Path, the folder of the data set, on a disk or on a store; some formats also take a file.
    split : str or None, the split for formats that have several; None is the default of the format.
    """

    format: str
    folder: Path
    split: str | None = None

    @classmethod
    def parse(cls, text: str) -> DatasetSpec:
        """Read `format:folder[@split]`.

        Raises
        ------
        EvaluationError
            If the format is unknown or the folder does not exist.
        """
        name, colon, where = text.partition(":")
        if name not in _FORMATS and not colon:
            raise EvaluationError(
                f"A data set is format:folder, such as coco:./images; got {text!r}. "
                f"The formats are {', '.join(_FORMATS)}."
            )
        if name not in _FORMATS:
            hint = did_you_mean(name, _FORMATS)
            raise EvaluationError(
                f"There is no data set format {name!r}; the known ones are {', '.join(_FORMATS)}{hint}"
            )
        if not colon or not where:
            raise EvaluationError(f"A data set is format:folder, such as {name}:./images; got {text!r}.")
        folder, at, split = where.rpartition("@")
        if not at or place(where).exists():
            folder, split = where, ""
        if not place(folder).exists():
            raise EvaluationError(
                f"The data set's folder {folder} does not exist; expected {_FORMATS[name].card.layout}"
            )
        return cls(name, place(folder), split or None)

    def open(self, rule: ObjectRule = DEFAULT_RULE) -> Dataset:
        """Return the data set.

        Raises
        ------
        EvaluationError
            If a split is given and the format has none.
        """
        dataset_class = _FORMATS[self.format]
        if self.split is None:
            return dataset_class(self.folder, rule)  # type: ignore[no-any-return]
        if "split" not in dataset_class.__dataclass_fields__:
            raise EvaluationError(f"{self.format} has no splits; leave @{self.split} out.")
        return dataset_class(self.folder, rule, split=self.split)  # type: ignore[no-any-return]


def fingerprint(folder: Path, *, times: bool = False) -> str:
    """Return eight hex digits that change if a file of a data set is added, removed, or changes in size.

    The content is not read: for a large data set that would take longer than the evaluation.

    Parameters
    ----------
    folder : Path, the folder of the data set, or its only file.
    times : bool, also include the times of modification; a copy on another machine then differs.
    """
    digest = hashlib.sha256()
    files = sorted(path for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else [folder]
    for path in files:
        stat = path.stat()
        written = stat.st_mtime_ns if times else ""
        digest.update(f"{path.relative_to(folder).as_posix()}\0{stat.st_size}\0{written}\n".encode())
    return digest.hexdigest()[:8]
