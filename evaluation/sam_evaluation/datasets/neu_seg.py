"""NEU-Seg: defects of hot-rolled steel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sam_backend.samples import Sample
from sam_evaluation.datasets.dataset import Dataset, DatasetCard
from sam_evaluation.datasets.label_files import read_labels
from sam_evaluation.datasets.objects import DEFAULT_RULE, ObjectRule, objects_of_labels
from sam_evaluation.datasets.sample_files import image_files, read_image, require_size, require_some
from sam_evaluation.datasets.unread_files import files_without_use

_CLASSES = {1: "inclusion", 2: "patches", 3: "scratches"}


@dataclass(frozen=True)
class NeuSeg(Dataset):
    """Images of 200 x 200 pixels with label maps; `split` is `test` or `training`."""

    folder: Path
    rule: ObjectRule = DEFAULT_RULE
    split: str = "test"

    card = DatasetCard(
        name="neu_seg",
        title="NEU-Seg, defects of hot-rolled steel",
        layout="images/<split>/*.jpg, annotations/<split>/*.png: 0 background, 1 inclusion, 2 patches, 3 scratches.",
        licence="research use",
        source="https://github.com/DHW-Master/NEU_Seg",
        citation="Dong et al., PGA-Net, IEEE Transactions on Industrial Informatics 16, 2020",
        domain="industrial",
    )

    def names(self) -> Sequence[str]:
        """Return the names of the image files of the split."""
        names = (path.name for path in image_files(self.folder / "images" / self.split))
        return require_some(names, self.folder, self.card.layout)

    def left_out(self) -> Mapping[str, int]:
        """Return the counts of files that are not read."""
        images, masks = (self.folder / part / self.split for part in ("images", "annotations"))
        names = self.names()
        return files_without_use([images / name for name in names], map(self._mask_of, names), [images, masks])

    def _mask_of(self, name: str) -> Path:
        return (self.folder / "annotations" / self.split / name).with_suffix(".png")

    def load(self, name: str) -> Sample:
        """Read an image and its defects."""
        path = self.folder / "images" / self.split / name
        image = read_image(path)
        mask = self._mask_of(name)
        labels = read_labels(mask)
        require_size(image, labels, mask)
        return Sample(name, image, objects_of_labels(labels, _CLASSES, self.rule), file=path)
