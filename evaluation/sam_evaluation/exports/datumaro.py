"""Datumaro's own format, of its version 1: one JSON file for each split, with the masks as run-lengths."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sam_backend.segmenters.coco_counts import coco_counts
from sam_evaluation.datasets.tally import Tally
from sam_evaluation.exports.writer import Classes, ExportedImage, FormatCard, SplitLists, Writer

_IMAGES = 2
"""Datumaro's number for data sets of images."""


class Datumaro(Writer):
    """`images/<split>/` and `annotations/<split>.json`."""

    card = FormatCard("datumaro", "Datumaro")

    def __init__(self, folder: Path, classes: Classes, tally: Tally) -> None:
        self._folder, self._classes = folder, classes
        self._lists = SplitLists(folder / "annotations", "", "items")

    def image_file(self, image: ExportedImage) -> Path:
        """Return the image's file in the folder of its split."""
        return self._folder / "images" / image.split / image.name

    def add(self, image: ExportedImage) -> None:
        """Write the item of an image."""
        masks: list[dict[str, Any]] = [
            {
                "id": number,
                "type": "mask",
                "attributes": {},
                "group": number,
                "label_id": self._classes.number(target.label),
                "rle": {"counts": coco_counts(target.cropped), "size": list(target.cropped.size)},
                "z_order": 0,
            }
            for number, target in enumerate(image.objects, 1)
        ]
        file = {"path": image.name, "size": list(image.size)}
        self._lists.of(image.split).extend([{"id": image.stem, "annotations": masks, "image": file}])

    def close(self) -> None:
        """Write the labels."""
        labels = [{"name": name, "parent": "", "attributes": []} for name in self._classes.names]
        categories = {"label": {"labels": labels, "label_groups": [], "attributes": []}}
        head = {"dm_format_version": "1.0", "media_type": _IMAGES, "infos": {}, "categories": categories}
        self._lists.close(lambda _: head)
