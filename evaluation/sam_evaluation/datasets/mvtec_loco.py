"""MVTec LOCO AD: structural and logical defects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sam_backend.samples import Object, Sample
from sam_evaluation.datasets.categories import names_by_category, root_of_categories
from sam_evaluation.datasets.dataset import DatasetCard
from sam_evaluation.datasets.objects import DEFAULT_RULE, ObjectRule, objects_of_mask
from sam_evaluation.datasets.sample_files import image_files, read_image, read_labels, require_size, require_some
from sam_evaluation.errors import BrokenSampleError


@dataclass(frozen=True)
class MvtecLoco:
    """The test images of all categories, or of one category.

    Each defect of an image has a mask of its own, so defects that touch stay apart. Its value, which tells the kind of
    defect, is not read; the label is the folder's name, such as `structural_anomalies`.
    """

    folder: Path
    rule: ObjectRule = DEFAULT_RULE

    card = DatasetCard(
        name="mvtec_loco",
        title="MVTec LOCO AD",
        layout=(
            "<category>/test/<type>/NNN.png, each with masks <category>/ground_truth/<type>/NNN/*.png; "
            "test/good has no masks. A folder of one category will do."
        ),
        licence="CC BY-NC-SA 4.0",
        source="https://www.mvtec.com/company/research/datasets/mvtec-loco",
        citation="Bergmann et al., Beyond Dents and Scratches, IJCV 130, 2022",
        domain="industrial",
    )

    def names(self) -> Sequence[str]:
        """Return `<category>/test/<type>/<file>` of all images."""
        return require_some(names_by_category(self.folder, "test", "*/*"), self.folder, self.card.layout)

    def load(self, name: str) -> Sample:
        """Read an image and its defects."""
        path = root_of_categories(self.folder, "test") / name
        image, kind = read_image(path), path.parent.name
        if kind == "good":
            return Sample(name, image)
        masks = path.parents[2] / "ground_truth" / kind / path.stem
        objects: list[Object] = []
        for mask in (files := image_files(masks)):
            labels = read_labels(mask)
            require_size(image, labels, mask)
            objects += objects_of_mask(labels > 0, kind, self.rule)
        if not files:
            raise BrokenSampleError(f"The folder {masks} was expected to hold the masks of {name}; it holds none.")
        return Sample(name, image, tuple(objects))
