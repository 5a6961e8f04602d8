"""The instances of all images as one JSON file of COCO, and as one table."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any

from sam_backend.safe_text import safe_cell

Part = dict[str, Any]
"""What is kept of one image: its `name`, the name of its PNG files (`png`), its `size` (H, W), its `instances`, the
`ids` of their classes, and the name of the `file` that keeps this."""

OBJECT = "object"
"""The class of instances without a label."""

COLUMNS = ("image", "id", "area", "left", "top", "right", "bottom", "score", "stability", "contrast", "label")


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
        height, width = part["size"]
        images.append({"id": number, "file_name": part["name"], "height": height, "width": width})
        for instance, one in enumerate(part["instances"], 1):
            left, top, right, bottom = one["box"]
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": labels.index(one["label"] or OBJECT) + 1,
                    "segmentation": {"size": [height, width], "counts": one["counts"]},
                    "bbox": [left, top, right - left, bottom - top],
                    "area": one["area"],
                    "iscrowd": 0,
                    "instance": instance,
                    **{name: one[name] for name in ("score", "stability", "contrast") if one[name] is not None},
                }
            )
    categories = [{"id": number, "name": label} for number, label in enumerate(labels, 1)]
    return {"images": images, "annotations": annotations, "categories": categories}


def csv_of(parts: Iterable[Part]) -> str:
    """Return the table of all instances as CSV, with the columns `COLUMNS`; `id` is that in the instance PNG."""
    rows = (
        (part["name"], number, one["area"], *one["box"], *(one[name] for name in COLUMNS[7:]))
        for part in parts
        for number, one in enumerate(part["instances"], 1)
    )
    return csv_text(COLUMNS, rows)


def csv_text(heads: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return a table as CSV that a spreadsheet opens without running anything; None is an empty cell."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(heads)
    writer.writerows([safe_cell(cell) if isinstance(cell, str) else cell for cell in row] for row in rows)
    return stream.getvalue()
