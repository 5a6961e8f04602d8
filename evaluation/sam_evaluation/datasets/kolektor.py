"""KolektorSDD and KolektorSDD2: defects of electrical commutators and of other products."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sam_backend.samples import Sample
from sam_evaluation.datasets.dataset import Dataset, DatasetCard
from sam_evaluation.datasets.label_files import read_labels
from sam_evaluation.datasets.objects import DEFAULT_RULE, ObjectRule, objects_of_mask
from sam_evaluation.datasets.sample_files import image_files, read_image, require_size, require_some
from sam_evaluation.datasets.unread_files import files_without_use


@dataclass(frozen=True)
class KolektorSdd(Dataset):
    """Eight images of each of 50 commutators; a black mask means that there is no defect."""

    folder: Path
    rule: ObjectRule = DEFAULT_RULE

    card = DatasetCard(
        name="kolektor_sdd",
        title="KolektorSDD",
        layout="kosNN/PartN.jpg, each with a mask kosNN/PartN_label.bmp.",
        licence="see https://www.vicos.si/resources/kolektorsdd/",
        source="https://www.vicos.si/resources/kolektorsdd/",
        citation="Tabernik et al., Segmentation-based deep-learning approach for surface-defect detection, "
        "Journal of Intelligent Manufacturing 31, 2020",
        domain="industrial",
    )

    def names(self) -> Sequence[str]:
        """Return the names `kosNN/PartN.jpg` of all images."""
        names = (path.relative_to(self.folder).as_posix() for path in image_files(self.folder, "kos*/Part*.jpg"))
        return require_some(names, self.folder, self.card.layout)

    def load(self, name: str) -> Sample:
        """Read an image and its defects."""
        path = self.folder / name
        return _load(name, path, _label_of(path), self.rule)

    def left_out(self) -> Mapping[str, int]:
        """Return the counts of files that are not read."""
        images = [self.folder / name for name in self.names()]
        return files_without_use(images, map(_label_of, images), (path.parent for path in images))


@dataclass(frozen=True)
class KolektorSdd2(Dataset):
    """Images of one split, `test` or `train`; a black mask means that there is no defect."""

    folder: Path
    rule: ObjectRule = DEFAULT_RULE
    split: str = "test"

    card = DatasetCard(
        name="kolektor_sdd2",
        title="KolektorSDD2",
        layout="<split>/NNNNN.png, each with a mask <split>/NNNNN_GT.png; split is test or train.",
        licence="CC BY-NC-SA 4.0",
        source="https://www.vicos.si/resources/kolektorsdd2/",
        citation="Božič et al., Mixed supervision for surface-defect detection, Computers in Industry 129, 2021",
        domain="industrial",
    )

    def names(self) -> Sequence[str]:
        """Return the names `<split>/NNNNN.png` of the split."""
        # Only files with a number as name are images: masks and copies lie in the same folder.
        files = (path for path in image_files(self.folder / self.split, "*.png") if path.stem.isdecimal())
        return require_some((f"{self.split}/{path.name}" for path in files), self.folder, self.card.layout)

    def load(self, name: str) -> Sample:
        """Read an image and its defects."""
        path = self.folder / name
        return _load(name, path, _truth_of(path), self.rule)

    def left_out(self) -> Mapping[str, int]:
        """Return the counts of files that are not read."""
        images = [self.folder / name for name in self.names()]
        return files_without_use(images, map(_truth_of, images), [self.folder / self.split])


def _label_of(image: Path) -> Path:
    return image.with_name(f"{image.stem}_label.bmp")


def _truth_of(image: Path) -> Path:
    return image.with_name(f"{image.stem}_GT.png")


def _load(name: str, path: Path, mask: Path, rule: ObjectRule) -> Sample:
    image, labels = read_image(path), read_labels(mask)
    require_size(image, labels, mask)
    return Sample(name, image, tuple(objects_of_mask(labels > 0, "defect", rule)), file=path)
