"""DAGM 2007: artificial defects on artificial textures."""

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
from sam_evaluation.errors import BrokenSampleError


@dataclass(frozen=True)
class Dagm(Dataset):
    """Ten textures; the label `ClassN` is the texture, and each texture has one type of defect.

    The masks are coarse ellipses around the defects. They show the place of a defect, not its outline.

    Parameters
    ----------
    folder : Path, the folder of the data set.
    rule : ObjectRule, how masks become objects.
    split : str, `Test` or `Train`.
    """

    folder: Path
    rule: ObjectRule = DEFAULT_RULE
    split: str = "Test"

    card = DatasetCard(
        name="dagm",
        title="DAGM 2007, weakly supervised learning for industrial optical inspection",
        layout=(
            "ClassN/<split>/NNNN.PNG, with a mask ClassN/<split>/Label/NNNN_label.PNG if there is a defect; "
            "split is Test or Train. Masks are coarse ellipses."
        ),
        licence="see https://hci.iwr.uni-heidelberg.de/node/3616",
        source="https://hci.iwr.uni-heidelberg.de/node/3616",
        citation="Wieler and Hahn, Weakly supervised learning for industrial optical inspection, DAGM 2007",
        domain="industrial",
    )

    def names(self) -> Sequence[str]:
        """Return the names `ClassN/<split>/NNNN.PNG` of the split."""
        files = image_files(self.folder, f"Class*/{self.split}/*")
        return require_some((path.relative_to(self.folder).as_posix() for path in files), self.folder, self.card.layout)

    def left_out(self) -> Mapping[str, int]:
        """Return the counts of files that are not read."""
        images = [self.folder / name for name in self.names()]
        return files_without_use(images, map(_mask_of, images), (path.parent for path in images))

    def load(self, name: str) -> Sample:
        """Read an image and its defects; an image without a mask has none."""
        path = self.folder / name
        image, masks = read_image(path), path.parent / "Label"
        if not masks.is_dir():
            raise BrokenSampleError(
                f"The folder {masks} is missing; without it, images with and without defects look the same."
            )
        mask = _mask_of(path)
        if not mask.exists():
            return Sample(name, image, file=path)
        labels = read_labels(mask)
        require_size(image, labels, mask)
        return Sample(name, image, tuple(objects_of_mask(labels > 0, path.parents[1].name, self.rule)), file=path)


def _mask_of(image: Path) -> Path:
    return image.parent / "Label" / f"{image.stem}_label{image.suffix}"
