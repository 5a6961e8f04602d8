"""Pascal VOC: label maps with VOC's colours, boxes as XML, and lists of images."""

from __future__ import annotations

import io
from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sam_evaluation.datasets.tally import Tally
from sam_evaluation.datasets.voc import palette
from sam_evaluation.exports.label_map import LabelMap, paint
from sam_evaluation.exports.writer import TRAIN, VAL, Classes, ExportedImage, FormatCard, Writer

_MOST = 254
"""Values of a palette without background and void."""


class Voc(Writer):
    """`JPEGImages/`, `SegmentationClass/`, `SegmentationObject/`, `Annotations/`, `ImageSets/` and `labelmap.txt`.

    Nothing is void (255): what annotators accepted has no unsure rim.
    """

    card = FormatCard(
        "voc", "Pascal VOC", most_classes=_MOST, reserved=("background", "_background_", "__ignore__"), on_lines=True
    )

    def __init__(self, folder: Path, classes: Classes, tally: Tally) -> None:
        self._folder, self._classes, self._tally = folder, classes, tally
        self._names: dict[str, list[str]] = {}

    def image_file(self, image: ExportedImage) -> Path:
        """Return the image's file in `JPEGImages/`."""
        return self._folder / "JPEGImages" / image.name

    def add(self, image: ExportedImage) -> None:
        """Write the label maps and the boxes of an image."""
        painted = paint(image, self._classes, self._tally, _MOST)
        self._write("SegmentationClass", f"{image.stem}.png", _palette_png(painted.labels))
        self._write("SegmentationObject", f"{image.stem}.png", _palette_png(painted.numbers))
        self._write("Annotations", f"{image.stem}.xml", _xml(image, painted).encode())
        self._names.setdefault(image.split, []).append(image.stem)

    def close(self) -> None:
        """Write the lists of images and the colours of the classes."""
        for kind in ("Segmentation", "Main"):
            every = [name for names in self._names.values() for name in names]
            for split, names in {**self._names, TRAIN + VAL: every}.items():
                self._write(f"ImageSets/{kind}", f"{split}.txt", "".join(f"{name}\n" for name in names).encode())
        colours = palette().tolist()
        lines = ["# label:color_rgb:parts:actions", "background:0,0,0::"]
        for value, name in enumerate(self._classes.names, 1):
            lines.append(f"{name}:{','.join(map(str, colours[value]))}::")
        self._write("", "labelmap.txt", "".join(f"{line}\n" for line in lines).encode())

    def _write(self, folder: str, name: str, content: bytes) -> None:
        file = self._folder / folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)


def _palette_png(values: NDArray[np.int32]) -> bytes:
    image, file = Image.fromarray(values.astype(np.uint8), "P"), io.BytesIO()
    image.putpalette(palette().tobytes())
    image.save(file, "PNG", compress_level=4)
    return file.getvalue()


def _xml(image: ExportedImage, painted: LabelMap) -> str:
    """Return VOC's file of boxes; its pixels count from 1, and a box ends with its last pixel."""
    height, width = image.size
    objects = []
    for target in painted.objects:
        left, top, right, bottom = target.cropped.box
        box = f"<xmin>{left + 1}</xmin><ymin>{top + 1}</ymin><xmax>{right}</xmax><ymax>{bottom}</ymax>"
        objects.append(
            f"  <object><name>{escape(target.label)}</name><pose>Unspecified</pose><truncated>0</truncated>"
            f"<difficult>0</difficult><bndbox>{box}</bndbox></object>"
        )
    lines = [
        "<annotation>",
        "  <folder>JPEGImages</folder>",
        f"  <filename>{escape(image.name)}</filename>",
        f"  <size><width>{width}</width><height>{height}</height><depth>3</depth></size>",
        "  <segmented>1</segmented>",
        *objects,
        "</annotation>",
    ]
    return "".join(f"{line}\n" for line in lines)
