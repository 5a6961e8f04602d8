"""The instances of all images as one JSON file of COCO, and as one table."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

from pydantic import InstanceOf, TypeAdapter

from sam_backend.safe_text import safe_cell

OBJECT = "object"
"""The class of instances without a label."""

COLUMNS = ("image", "id", "area", "left", "top", "right", "bottom", "score", "stability", "contrast", "label")


@dataclass(frozen=True)
class Described:
    """An instance in words.

    Attributes
    ----------
    counts : str, the compressed run-lengths of COCO.
    box : (left, top, right, bottom) in pixels, half-open.
    area : int, in pixels.
    score, stability, contrast : float; there may be no stability.
    label : str, its class, or None.
    """

    counts: str
    box: tuple[int, int, int, int]
    area: int
    score: float
    stability: float | None
    contrast: float
    label: str | None


@dataclass(frozen=True)
class Part:
    """What is kept of one image.

    Attributes
    ----------
    file : str, the name of the file that keeps this.
    name, png : str, the names of the image and of its PNG files.
    size : (H, W) in pixels.
    instances : list of Described.
    ids : class -> its id in the class map; None in a part of an older version.
    """

    file: str
    # A file's name need not be UTF-8, as pydantic's strings must.
    name: InstanceOf[str]
    png: InstanceOf[str]
    size: tuple[int, int]
    instances: list[Described]
    ids: dict[str, int] | None = None

    @classmethod
    def read(cls, content: bytes) -> Part:
        """Return what a file keeps; ValueError if it is none of `content`."""
        return _reader().validate_python(json.loads(content))

    def content(self) -> bytes:
        """Return the content of the file that keeps this."""
        return json.dumps(asdict(self)).encode()


@cache
def _reader() -> TypeAdapter[Part]:
    return TypeAdapter(Part)


def coco_of(parts: Sequence[Part], labels: Sequence[str]) -> dict[str, Any]:
    """Return the content of a JSON file of COCO; `id` is unique in the file, `instance` the id in the instance PNG.

    Parameters
    ----------
    parts : one Part for each image.
    labels : str, the classes; the first has the id 1.
    """
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, part in enumerate(parts, 1):
        height, width = part.size
        images.append({"id": number, "file_name": part.name, "height": height, "width": width})
        for instance, one in enumerate(part.instances, 1):
            left, top, right, bottom = one.box
            measures = {"score": one.score, "stability": one.stability, "contrast": one.contrast}
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": labels.index(one.label or OBJECT) + 1,
                    "segmentation": {"size": [height, width], "counts": one.counts},
                    "bbox": [left, top, right - left, bottom - top],
                    "area": one.area,
                    "iscrowd": 0,
                    "instance": instance,
                    **{name: value for name, value in measures.items() if value is not None},
                }
            )
    categories = [{"id": number, "name": label} for number, label in enumerate(labels, 1)]
    return {"images": images, "annotations": annotations, "categories": categories}


def csv_of(parts: Iterable[Part]) -> str:
    """Return the table of all instances as CSV, with the columns `COLUMNS`; `id` is that in the instance PNG."""
    rows = (
        (part.name, number, one.area, *one.box, one.score, one.stability, one.contrast, one.label)
        for part in parts
        for number, one in enumerate(part.instances, 1)
    )
    return csv_text(COLUMNS, rows)


def csv_text(heads: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return a table as CSV that a spreadsheet opens without running anything; None is an empty cell."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(heads)
    writer.writerows([safe_cell(cell) if isinstance(cell, str) else cell for cell in row] for row in rows)
    return stream.getvalue()
