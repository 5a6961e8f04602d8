"""COCO's JSON of instances: masks as run-lengths, or as polygons."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sam_backend.samples import Object
from sam_backend.segmenters.coco_counts import coco_counts
from sam_evaluation.datasets.tally import Tally
from sam_evaluation.exports.polygons import exact_rings
from sam_evaluation.exports.writer import Classes, ExportedImage, FormatCard, SplitLists, Writer, box_of


class Coco(Writer):
    """`images/` and `annotations/instances_<split>.json`; the masks are run-lengths with `iscrowd` 0."""

    card = FormatCard("coco", "COCO")

    def __init__(self, folder: Path, classes: Classes, tally: Tally) -> None:
        self._folder, self._classes = folder, classes
        self._lists = SplitLists(folder / "annotations", "instances_", "annotations")
        self._images = ImageList()
        self._annotation = 0

    def image_file(self, image: ExportedImage) -> Path:
        """Return the image's file in `images/`."""
        return self._folder / "images" / image.name

    def add(self, image: ExportedImage) -> None:
        """Write the annotations of an image."""
        number = self._images.add(image)
        self._lists.of(image.split).extend([self._entry(number, target) for target in image.objects])

    def close(self) -> None:
        """Write the images and the categories."""
        categories = categories_of(self._classes)
        self._lists.close(lambda split: self._images.head(split, categories))

    def _entry(self, image: int, target: Object) -> dict[str, Any]:
        self._annotation += 1
        return {
            "id": self._annotation,
            "image_id": image,
            "category_id": self._classes.number(target.label) + 1,
            "bbox": box_of(target),
            "area": target.cropped.area,
            "iscrowd": 0,
            "segmentation": self._segmentation(target),
        }

    def _segmentation(self, target: Object) -> Any:
        return {"size": list(target.cropped.size), "counts": coco_counts(target.cropped)}


class CocoPolygons(Coco):
    """COCO with polygons, for trainings that take no run-lengths; holes are reached through slits."""

    card = FormatCard("coco-polygons", "COCO")

    def _segmentation(self, target: Object) -> Any:
        return [ring.ravel().tolist() for ring in exact_rings(target.cropped)]


class ImageList:
    """COCO's `images` of each split; the ids are unique over all splits."""

    def __init__(self) -> None:
        self._entries: dict[str, list[dict[str, Any]]] = {}
        self._count = 0

    def add(self, image: ExportedImage) -> int:
        """Add an image; return its id."""
        self._count += 1
        height, width = image.size
        entry = {"id": self._count, "file_name": image.name, "width": width, "height": height}
        self._entries.setdefault(image.split, []).append(entry)
        return self._count

    def head(self, split: str, categories: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Return COCO's file of a split without its annotations."""
        return {"images": self._entries[split], "categories": categories, "info": {}, "licenses": []}


def categories_of(classes: Classes) -> list[dict[str, Any]]:
    """Return COCO's `categories`; their ids are the numbers of the classes plus 1."""
    return [{"id": number, "name": name, "supercategory": ""} for number, name in enumerate(classes.names, 1)]
