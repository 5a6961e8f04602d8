"""LVIS: images of COCO with more than a thousand classes."""

from __future__ import annotations

from dataclasses import dataclass

from sam_evaluation.datasets.coco import Coco, ImageEntry
from sam_evaluation.datasets.dataset import DatasetCard
from sam_evaluation.datasets.image_finder import path_parts


@dataclass(frozen=True)
class Lvis(Coco):
    """COCO's format with images that are named by their address; `folder` may be the annotation file itself.

    The list of classes that are not annotated exhaustively in an image is ignored.
    """

    card = DatasetCard(
        name="lvis",
        title="LVIS, instances of a large vocabulary",
        layout="annotations/*.json or *.json (one, or give the file itself); images as train2017/*.jpg and "
        "val2017/*.jpg in the folder or in its images/.",
        licence="see https://www.lvisdataset.org",
        source="https://www.lvisdataset.org",
        citation="Gupta, Dollár and Girshick, LVIS: a dataset for large vocabulary instance segmentation, CVPR 2019",
        domain="natural",
    )

    @staticmethod
    def image_name(entry: ImageEntry) -> str:
        """Return `<folder>/<file>`, the end of `coco_url`; without an address, return `file_name`."""
        if entry.coco_url:
            return "/".join(path_parts(entry.coco_url)[-2:])
        return entry.file_name or ""
