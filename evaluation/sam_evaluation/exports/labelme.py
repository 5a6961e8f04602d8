"""Labelme: one JSON file beside each image, whose polygons people can edit."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sam_evaluation.datasets.tally import Tally
from sam_evaluation.exports.polygons import editable_rings
from sam_evaluation.exports.writer import Classes, ExportedImage, FormatCard, Writer


class Labelme(Writer):
    """`<split>/*.json` beside the images; the parts of a mask share a `group_id`, holes are reached through slits."""

    card = FormatCard("labelme", "Labelme")

    def __init__(self, folder: Path, classes: Classes, tally: Tally) -> None:
        self._folder, self._classes = folder, classes

    def image_file(self, image: ExportedImage) -> Path:
        """Return the image's file in the folder of its split."""
        return self._folder / image.split / image.name

    def add(self, image: ExportedImage) -> None:
        """Write the shapes of an image."""
        height, width = image.size
        content: dict[str, Any] = {
            "version": "5.5.0",
            "flags": {},
            "shapes": list(self._shapes(image)),
            "imagePath": image.name,
            "imageData": None,
            "imageHeight": height,
            "imageWidth": width,
        }
        text = json.dumps(content, ensure_ascii=False, indent=1)
        file = self._folder / image.split / f"{image.stem}.json"
        file.write_text(text, "utf-8")

    def close(self) -> None:
        """Do nothing: each image has its own file."""

    def _shapes(self, image: ExportedImage) -> Iterator[dict[str, Any]]:
        for number, target in enumerate(image.objects, 1):
            self._classes.number(target.label)
            rings = editable_rings(target.cropped)
            for ring in rings:
                yield {
                    "label": target.label,
                    "points": ring.tolist(),
                    "group_id": number if len(rings) > 1 else None,
                    "description": "",
                    "shape_type": "polygon",
                    "flags": {},
                }
