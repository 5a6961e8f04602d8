"""BSDS500: natural images that several people divided into regions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sam_backend.samples import Object, Sample
from sam_evaluation.datasets.dataset import Dataset, DatasetCard
from sam_evaluation.datasets.matlab import read_segmentations
from sam_evaluation.datasets.objects import DEFAULT_RULE, ObjectRule, objects_of_mask
from sam_evaluation.datasets.sample_files import image_files, read_image, require_size, require_some
from sam_evaluation.datasets.unread_files import files_of_unknown_kind, images_in_subfolders
from sam_evaluation.errors import EvaluationError


@dataclass(frozen=True)
class Bsds500(Dataset):
    """Every region of every annotator is an object, including the background.

    Parameters
    ----------
    folder : Path, the folder of the data set.
    rule : ObjectRule, how masks become objects.
    split : str, `test`, `val` or `train`; ignored if the images lie in `images/` itself.
    """

    folder: Path
    rule: ObjectRule = DEFAULT_RULE
    split: str = "test"

    card = DatasetCard(
        name="bsds500",
        title="BSDS500, Berkeley segmentation data set",
        layout=(
            "images/*.jpg, each with groundTruth/*.mat; or images/<split>/*.jpg and groundTruth/<split>/*.mat with "
            "split test, val or train."
        ),
        licence="research use",
        source="https://www2.eecs.berkeley.edu/Research/Projects/CS/vision/grouping/resources.html",
        citation="Arbelaez et al., Contour detection and hierarchical image segmentation, IEEE PAMI 33, 2011",
        domain="natural",
    )

    def names(self) -> Sequence[str]:
        """Return the names of the image files of the split."""
        images = self.folder / "images"
        splits = sorted(path.name for path in images.glob("*") if path.is_dir() and image_files(path))
        is_flat = bool(image_files(images))
        # The default split of a folder that is not divided is the whole folder.
        if self.split not in splits and (self.split != Bsds500.split or (splits and not is_flat)):
            came = f"the splits there are: {', '.join(splits)}" if splits else f"{images} is not divided into splits"
            raise EvaluationError(f"There is no split {self.split}; {came}. Expected: {self.card.layout}")
        names = (path.name for path in image_files(self._folder_of("images")))
        return require_some(names, self.folder, self.card.layout)

    def left_out(self) -> Mapping[str, int]:
        """Return the counts of files that are not read."""
        folder = self._folder_of("images")
        inside = images_in_subfolders(folder) if folder.name == "images" else {}
        return files_of_unknown_kind(folder) | inside

    def load(self, name: str) -> Sample:
        """Read an image and the regions of all annotators, numbered from 0."""
        path = self._folder_of("images") / name
        image = read_image(path)
        truth = (self._folder_of("groundTruth") / name).with_suffix(".mat")
        objects: list[Object] = []
        for annotator, labels in enumerate(read_segmentations(truth)):
            require_size(image, labels, truth)
            for value in np.unique(labels):
                objects += objects_of_mask(labels == value, "region", self.rule, annotator)
        return Sample(name, image, tuple(objects), file=path)

    def _folder_of(self, content: str) -> Path:
        split = self.folder / content / self.split
        return split if split.is_dir() else split.parent
