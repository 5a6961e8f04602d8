"""COCO's panoptic format: a PNG of segments for each image, and a JSON that says what they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from sam_backend.samples import Object
from sam_evaluation.datasets.tally import Tally
from sam_evaluation.exports.coco import ImageList, categories_of
from sam_evaluation.exports.image_copy import png_bytes
from sam_evaluation.exports.label_map import paint
from sam_evaluation.exports.writer import Classes, ExportedImage, FormatCard, SplitLists, Writer, box_of

_MOST_SEGMENTS = 2**24 - 1


class CocoPanoptic(Writer):
    """`images/`, `annotations/panoptic_<split>.json` and `annotations/panoptic_<split>/*.png`.

    The colour of a pixel is the id of its segment, red + 256 green + 65536 blue; 0 is void. Every segment is a thing.
    """

    card = FormatCard("coco-panoptic", "COCO panoptic")

    def __init__(self, folder: Path, classes: Classes, tally: Tally) -> None:
        self._folder, self._classes, self._tally = folder, classes, tally
        self._lists = SplitLists(folder / "annotations", "panoptic_", "annotations")
        self._images = ImageList()

    def image_file(self, image: ExportedImage) -> Path:
        """Return the image's file in `images/`."""
        return self._folder / "images" / image.name

    def add(self, image: ExportedImage) -> None:
        """Write the segments of an image."""
        painted = paint(image, self._classes, self._tally, _MOST_SEGMENTS)
        ids = painted.numbers
        colours = np.stack([ids & 255, ids >> 8 & 255, ids >> 16], axis=-1).astype(np.uint8)
        file = self._folder / "annotations" / f"panoptic_{image.split}" / f"{image.stem}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(png_bytes(colours))
        segments = [self._segment(number, target) for number, target in enumerate(painted.objects, 1)]
        entry = {"image_id": self._images.add(image), "file_name": file.name, "segments_info": segments}
        self._lists.of(image.split).extend([entry])

    def close(self) -> None:
        """Write the images and the categories."""
        categories = [category | {"isthing": 1} for category in categories_of(self._classes)]
        self._lists.close(lambda split: self._images.head(split, categories))

    def _segment(self, number: int, target: Object) -> dict[str, Any]:
        category = self._classes.number(target.label) + 1
        return {
            "id": number,
            "category_id": category,
            "area": target.cropped.area,
            "bbox": box_of(target),
            "iscrowd": 0,
        }
