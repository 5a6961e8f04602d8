"""Label maps and maps of objects as PNG: the format `masks` of the data sets."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sam_evaluation.datasets.tally import Tally
from sam_evaluation.exports.image_copy import png_bytes
from sam_evaluation.exports.label_map import paint
from sam_evaluation.exports.writer import Classes, ExportedImage, FormatCard, Writer

_MOST = 2**16 - 1


class Png(Writer):
    """`<split>/images/`, `<split>/masks/` with the classes, `<split>/instances/` with the objects, `classes.txt`."""

    card = FormatCard("png", "PNG masks", most_classes=_MOST, on_lines=True)

    def __init__(self, folder: Path, classes: Classes, tally: Tally) -> None:
        self._folder, self._classes, self._tally = folder, classes, tally
        self._splits: set[str] = set()

    def image_file(self, image: ExportedImage) -> Path:
        """Return the image's file in the folder of its split."""
        return self._folder / image.split / "images" / image.name

    def add(self, image: ExportedImage) -> None:
        """Write the maps of an image, with 8 bits, or 16 where a value needs them."""
        self._splits.add(image.split)
        painted = paint(image, self._classes, self._tally, _MOST)
        for name, values in (("masks", painted.labels), ("instances", painted.numbers)):
            file = self._folder / image.split / name / f"{image.stem}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(png_bytes(values.astype(np.uint8 if values.max(initial=0) < 256 else np.uint16)))

    def close(self) -> None:
        """Write a line of value and name for each class."""
        lines = "".join(f"{value} {name}\n" for value, name in enumerate(self._classes.names, 1))
        for split in sorted(self._splits):
            (self._folder / split / "classes.txt").write_text(lines, "utf-8")
