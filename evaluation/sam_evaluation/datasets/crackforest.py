"""CrackForest: cracks of road surfaces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sam_backend.samples import Sample
from sam_evaluation.datasets.dataset import Dataset, DatasetCard
from sam_evaluation.datasets.matlab import read_segmentations
from sam_evaluation.datasets.objects import DEFAULT_RULE, ObjectRule, objects_of_mask
from sam_evaluation.datasets.sample_files import image_files, read_image, require_size, require_some
from sam_evaluation.datasets.unread_files import files_of_unknown_kind, images_in_subfolders

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

    def left_out(self) -> Mapping[str, int]:
        """Return the counts of files that are not read."""
        images, truths = self.folder / "image", self.folder / "groundTruth"
        stems = {Path(name).stem for name in self.names()}
        unused = sum(path.stem not in stems for path in truths.glob("*.mat"))
        counts = {"file in groundTruth without an image of its name": unused}
        return counts | files_of_unknown_kind(images) | images_in_subfolders(images)

    def load(self, name: str) -> Sample:
        """Read an image and its cracks."""
        path = self.folder / "image" / name
        image = read_image(path)
        truth = (self.folder / "groundTruth" / name).with_suffix(".mat")
        labels = read_segmentations(truth)[0]
        require_size(image, labels, truth)
        return Sample(name, image, tuple(objects_of_mask(labels == _CRACK, "crack", self.rule)), file=path)
