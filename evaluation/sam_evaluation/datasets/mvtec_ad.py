"""MVTec AD: defects of objects and textures."""

from __future__ import annotations

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


@dataclass(frozen=True)
class MvtecAd(Dataset):
    """The test images of all categories, or of one category; the label is the type of the defect."""

    folder: Path
    rule: ObjectRule = DEFAULT_RULE

    card = DatasetCard(
        name="mvtec_ad",
        title="MVTec AD",
        layout=(
            "<category>/test/<defect>/NNN.png, each with <category>/ground_truth/<defect>/NNN_mask.png; "
            "test/good has no masks. The folder of one category is accepted too."
        ),
        licence="CC BY-NC-SA 4.0",
        source="https://www.mvtec.com/company/research/datasets/mvtec-ad",
        citation="Bergmann et al., The MVTec Anomaly Detection Dataset, IJCV 129, 2021",
        domain="industrial",
    )

    def names(self) -> Sequence[str]:
        """Return the names `<category>/test/<defect>/<file>` of all images."""
        return require_some(names_by_category(self.folder, "test", "*/*"), self.folder, self.card.layout)

    def left_out(self) -> Mapping[str, int]:
        """Return the counts of files that are not read."""
        root = root_of_categories(self.folder, "test")
        images = [root / name for name in self.names()]
        categories = {path.parents[2] for path in images}
        folders = [category / part for category in sorted(categories) for part in ("test", "ground_truth")]
        return files_without_use(images, map(_mask_of, images), folders)

    def load(self, name: str) -> Sample:
        """Read an image and its defects."""
        path = root_of_categories(self.folder, "test") / name
        image, defect = read_image(path), path.parent.name
        if defect == "good":
            return Sample(name, image, file=path)
        mask = _mask_of(path)
        labels = read_labels(mask)
        require_size(image, labels, mask)
        return Sample(name, image, tuple(objects_of_mask(labels > 0, defect, self.rule)), file=path)


def _mask_of(image: Path) -> Path:
    return image.parents[2] / "ground_truth" / image.parent.name / f"{image.stem}_mask.png"
