"""MVTec LOCO AD: structural and logical defects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sam_backend.samples import Object, Sample
from sam_evaluation.datasets.categories import names_by_category, root_of_categories
from sam_evaluation.datasets.dataset import Dataset, DatasetCard
from sam_evaluation.datasets.label_files import read_labels
from sam_evaluation.datasets.objects import DEFAULT_RULE, ObjectRule, objects_of_mask
from sam_evaluation.datasets.sample_files import image_files, read_image, require_size, require_some
from sam_evaluation.datasets.unread_files import files_without_use
from sam_evaluation.errors import BrokenSampleError


@dataclass(frozen=True)
class MvtecLoco(Dataset):
    """The test images of all categories, or of one category.

    Each defect of an image has its own mask file, so defects that touch stay separate. The label is the name of the
    folder, for example `structural_anomalies`; the pixel value, which encodes the type of defect, is ignored.
    """

    folder: Path
    rule: ObjectRule = DEFAULT_RULE

    card = DatasetCard(
        name="mvtec_loco",
        title="MVTec LOCO AD",
        layout=(
            "<category>/test/<type>/NNN.png, each with masks <category>/ground_truth/<type>/NNN/*.png; "
            "test/good has no masks. The folder of one category is accepted too."
        ),
        licence="CC BY-NC-SA 4.0",
        source="https://www.mvtec.com/company/research/datasets/mvtec-loco",
        citation="Bergmann et al., Beyond Dents and Scratches, IJCV 130, 2022",
        domain="industrial",
    )

    def names(self) -> Sequence[str]:
        """Return the names `<category>/test/<type>/<file>` of all images."""
        return require_some(names_by_category(self.folder, "test", "*/*"), self.folder, self.card.layout)

    def left_out(self) -> Mapping[str, int]:
        """Return the counts of files that are not read."""
        root = root_of_categories(self.folder, "test")
        images = [root / name for name in self.names()]
        categories = {path.parents[2] for path in images}
        folders = [category / part for category in sorted(categories) for part in ("test", "ground_truth")]
        masks = [mask for image in images for mask in image_files(_masks_of(image))]
        return files_without_use(images, masks, folders)

    def load(self, name: str) -> Sample:
        """Read an image and its defects."""
        path = root_of_categories(self.folder, "test") / name
        image, kind = read_image(path), path.parent.name
        if kind == "good":
            return Sample(name, image, file=path)
        masks = _masks_of(path)
        objects: list[Object] = []
        for mask in (files := image_files(masks)):
            labels = read_labels(mask)
            require_size(image, labels, mask)
            objects += objects_of_mask(labels > 0, kind, self.rule)
        if not files:
            raise BrokenSampleError(f"The folder {masks} was expected to hold the masks of {name}, but it has none.")
        return Sample(name, image, tuple(objects), file=path)


def _masks_of(image: Path) -> Path:
    return image.parents[2] / "ground_truth" / image.parent.name / image.stem
