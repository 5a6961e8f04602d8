"""YOLO: a text file of polygons or boxes for each image, as Ultralytics reads them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import yaml

from sam_backend.samples import Object
from sam_evaluation.datasets.tally import Tally
from sam_evaluation.exports.polygons import one_ring
from sam_evaluation.exports.writer import TRAIN, VAL, Classes, ExportedImage, FormatCard, Writer

_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")


class YoloBoxes(Writer):
    """`images/<split>/`, `labels/<split>/` and `data.yaml`; a row is a class and the box of an object."""

    card = FormatCard("yolo-box", "YOLO", suffixes=_SUFFIXES)

    def __init__(self, folder: Path, classes: Classes, tally: Tally) -> None:
        self._folder, self._classes = folder, classes
        self._splits: set[str] = set()

    def image_file(self, image: ExportedImage) -> Path:
        """Return the image's file in the folder of its split."""
        return self._folder / "images" / image.split / image.name

    def add(self, image: ExportedImage) -> None:
        """Write the rows of an image; an empty file says that nothing is in it."""
        self._splits.add(image.split)
        rows = [
            row_of(self._classes.number(target.label), self._values(target), image.size) for target in image.objects
        ]
        file = self._folder / "labels" / image.split / f"{image.stem}.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("".join(f"{row}\n" for row in rows), "utf-8")

    def close(self) -> None:
        """Write data.yaml; where one split has no image, the other one stands for it, as Ultralytics needs both."""
        folders = {split: split if split in self._splits else min(self._splits) for split in (TRAIN, VAL)}
        places = {split: f"images/{folder}" for split, folder in folders.items()}
        content = {**places, "names": dict(enumerate(self._classes.names))}
        text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=2**20)
        (self._folder / "data.yaml").write_text(text, "utf-8")

    def _values(self, target: Object) -> Sequence[float]:
        """Return alternately horizontal and vertical values in pixels."""
        left, top, right, bottom = target.cropped.box
        return (left + right) / 2, (top + bottom) / 2, right - left, bottom - top


class YoloPolygons(YoloBoxes):
    """The same with polygons; parts and holes are joined to one outline through slits."""

    card = FormatCard("yolo-seg", "YOLO", suffixes=_SUFFIXES)

    def _values(self, target: Object) -> Sequence[float]:
        values: list[float] = one_ring(target.cropped).ravel().tolist()
        return values


def row_of(number: int | str, values: Sequence[float], size: tuple[int, int]) -> str:
    """Return a row: the number of a class, and values in pixels, alternately horizontal and vertical, as shares."""
    height, width = size
    shares = (value / (height if index % 2 else width) for index, value in enumerate(values))
    return " ".join([str(number), *(f"{share:.6f}" for share in shares)])
