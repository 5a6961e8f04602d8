"""CrackForest: cracks of road surfaces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sam_backend.samples import Sample
from sam_evaluation.datasets.dataset import Dataset, DatasetCard
from sam_evaluation.datasets.matlab import read_segmentations
from sam_evaluation.datasets.objects import DEFAULT_RULE, ObjectRule, objects_of_mask
from sam_evaluation.datasets.sample_files import image_files, read_image, require_size, require_some

_CRACK = 2


@dataclass(frozen=True)
class CrackForest(Dataset):
    """Photographs of pavement, each with a MATLAB file whose `Segmentation` is 2 at a crack."""

    folder: Path
    rule: ObjectRule = DEFAULT_RULE

    card = DatasetCard(
        name="crackforest",
        title="CrackForest",
        layout="image/NNN.jpg, each with groundTruth/NNN.mat.",
        licence="see https://github.com/cuilimeng/CrackForest-dataset",
        source="https://github.com/cuilimeng/CrackForest-dataset",
        citation="Shi et al., Automatic road crack detection using random structured forests, IEEE T-ITS 17, 2016",
        domain="industrial",
    )

    def names(self) -> Sequence[str]:
        """Return the names of the files in `image/`."""
        names = (path.name for path in image_files(self.folder / "image"))
        return require_some(names, self.folder, self.card.layout)

    def load(self, name: str) -> Sample:
        """Read an image and its cracks."""
        image = read_image(self.folder / "image" / name)
        truth = (self.folder / "groundTruth" / name).with_suffix(".mat")
        labels = read_segmentations(truth)[0]
        require_size(image, labels, truth)
        return Sample(name, image, tuple(objects_of_mask(labels == _CRACK, "crack", self.rule)))
