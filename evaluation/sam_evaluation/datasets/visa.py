"""VisA: anomalies of circuit boards, capsules, candles and food."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sam_backend.samples import Sample
from sam_evaluation.datasets.categories import names_by_category, root_of_categories
from sam_evaluation.datasets.dataset import Dataset, DatasetCard
from sam_evaluation.datasets.label_files import read_labels
from sam_evaluation.datasets.objects import DEFAULT_RULE, ObjectRule, objects_of_mask
from sam_evaluation.datasets.sample_files import read_image, require_size, require_some
from sam_evaluation.datasets.unread_files import files_without_use
from sam_evaluation.errors import EvaluationError

_IMAGES = "Data/Images"


@dataclass(frozen=True)
class Visa(Dataset):
    """All categories, or one category, in the layout of the archive.

    Parameters
    ----------
    folder : Path, the folder that holds the categories, or the folder of one category.
    rule : ObjectRule, how masks become objects.
    split : str, `test` or `train` of `split_csv/1cls.csv`; without that file all images count.
    """

    folder: Path
    rule: ObjectRule = DEFAULT_RULE
    split: str = "test"

    card = DatasetCard(
        name="visa",
        title="VisA, visual anomalies",
        layout=(
            "<category>/Data/Images/{Anomaly,Normal}/*.JPG, <category>/Data/Masks/Anomaly/*.png of the same names, "
            "and split_csv/1cls.csv if present. The folder of one category is accepted too."
        ),
        licence="CC BY 4.0",
        source="https://github.com/amazon-science/spot-diff",
        citation="Zou et al., SPot-the-Difference Self-Supervised Pre-training for Anomaly Detection, ECCV 2022",
        domain="industrial",
    )

    def names(self) -> Sequence[str]:
        """Return the names `<category>/Data/Images/<Anomaly or Normal>/<file>` of the split."""
        names = self._all_names()
        table = root_of_categories(self.folder, _IMAGES) / "split_csv" / "1cls.csv"
        if names and table.exists():
            of_split = _images_of_split(table, self.split)
            names = [name for name in names if name in of_split]
        return require_some(names, self.folder, self.card.layout)

    def left_out(self) -> Mapping[str, int]:
        """Return the counts of files that are not read."""
        root = root_of_categories(self.folder, _IMAGES)
        # The images of the other split are no files that are left out.
        images = [root / name for name in self._all_names()]
        data = {path.parents[2] for path in images}
        folders = [folder / part for folder in sorted(data) for part in ("Images", "Masks")]
        return files_without_use(images, map(_mask_of, images), folders)

    def _all_names(self) -> list[str]:
        return names_by_category(self.folder, _IMAGES, "*/*")

    def load(self, name: str) -> Sample:
        """Read an image and its anomalies."""
        path = root_of_categories(self.folder, _IMAGES) / name
        image = read_image(path)
        if path.parent.name == "Normal":
            return Sample(name, image, file=path)
        mask = _mask_of(path)
        labels = read_labels(mask)
        require_size(image, labels, mask)
        return Sample(name, image, tuple(objects_of_mask(labels > 0, "anomaly", self.rule)), file=path)


def _mask_of(image: Path) -> Path:
    return image.parents[2] / "Masks" / image.parent.name / f"{image.stem}.png"


def _images_of_split(path: Path, split: str) -> set[str]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            images = {row["image"] for row in csv.DictReader(file) if row["split"] == split}
    except (OSError, ValueError, csv.Error) as error:
        raise EvaluationError(f"{path} cannot be read ({error}).") from None
    except KeyError as column:
        raise EvaluationError(
            f"{path} has no column {column}; the expected columns are object,split,label,image,mask."
        ) from None
    if not images:
        raise EvaluationError(f"{path} lists no image of the split {split!r}; use test or train.")
    return images
