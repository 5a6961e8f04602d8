"""Magnetic tile surface defects."""

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
class MagneticTile(Dataset):
    """One folder per type of defect, `MT_<defect>/Imgs/`, with JPEG images and PNG masks; above 127 is a defect."""

    folder: Path
    rule: ObjectRule = DEFAULT_RULE

    card = DatasetCard(
        name="magnetic_tile",
        title="Magnetic tile surface defects",
        layout="MT_<defect>/Imgs/*.jpg, each with a mask *.png of the same name; none in MT_Free.",
        licence="free to use with citation",
        source="https://github.com/abin24/Magnetic-tile-defect-datasets.",
        citation="Huang et al., Surface defect saliency of magnetic tile, The Visual Computer 36, 2020",
        domain="industrial",
    )

    def names(self) -> Sequence[str]:
        """Return the names `MT_<defect>/Imgs/<file>.jpg` of all images."""
        names = (str(path.relative_to(self.folder)) for path in image_files(self.folder, "MT_*/Imgs/*.jpg"))
        return require_some(names, self.folder, self.card.layout)

    def left_out(self) -> Mapping[str, int]:
        """Return the counts of files that are not read."""
        images = [self.folder / name for name in self.names()]
        return files_without_use(
            images, (path.with_suffix(".png") for path in images), {path.parent: 0 for path in images}
        )

    def load(self, name: str) -> Sample:
        """Read an image and its defects."""
        path = self.folder / name
        image, mask = read_image(path), path.with_suffix(".png")
        label = path.parts[-3].removeprefix("MT_")
        if label == "Free" and not mask.exists():
            return Sample(name, image, file=path)
        labels = read_labels(mask)
        require_size(image, labels, mask)
        return Sample(name, image, tuple(objects_of_mask(labels > 127, label, self.rule)), file=path)
