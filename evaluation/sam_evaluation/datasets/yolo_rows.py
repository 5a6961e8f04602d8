"""The rows of YOLO's text files: outlines, or boxes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sam_evaluation.datasets.boxes import NO_OUTLINE
from sam_evaluation.datasets.tally import OddShapeError
from sam_evaluation.datasets.text_files import lines_of, read_text

# Tools write points at the edge of an image slightly outside it.
_SLACK = 0.01


def rows_of(path: Path) -> Iterator[tuple[str, str]]:
    """Yield the rows of a file of labels, with what names them; none if there is no such file."""
    for number, row in enumerate(lines_of(read_text(path)) if path.is_file() else (), start=1):
        if row:
            yield row, f"Row {number} of {path}"


def read_box(row: str, what: str) -> tuple[float, NDArray[np.float64]]:
    """Return the class and the corners, (4,) xyxy from 0 to 1, of a row; a score behind the box is not read."""
    label, values = _numbers(row, what, "class x y width height")
    if len(values) not in (4, 5):
        raise OddShapeError("row that is no box", f"{what} is no box, class x y width height.")
    middle, half = np.array(values[:2]), np.array(values[2:4]) / 2
    return label, np.concatenate([middle - half, middle + half])


def _numbers(row: str, what: str, needed: str) -> tuple[float, list[float]]:
    """Return the class of a row, and the numbers after it."""
    try:
        label, *values = (float(value) for value in row.split())
    except ValueError:
        raise OddShapeError(
            "row that is not of numbers", f"{what} should hold the numbers {needed}; got '{row[:40]}'."
        ) from None
    if not label.is_integer() or label < 0:
        raise OddShapeError("row without a class", f"{what} should begin with the number of a class; got {label:g}.")
    return label, values


def read_polygon(row: str, what: str) -> tuple[float, NDArray[np.float64]]:
    """Return the class and the points, (N, 2), of a row."""
    label, values = _numbers(row, what, "class x1 y1 x2 y2 ...")
    if len(values) == 4:
        raise OddShapeError(NO_OUTLINE, f"{what} is a box, class x y width height; a polygon is needed.")
    if len(values) < 6 or len(values) % 2:
        raise OddShapeError(
            "row without three whole points",
            f"{what} needs a class and at least three points; it has {len(values)} coordinates.",
        )
    if not all(-_SLACK <= value <= 1 + _SLACK for value in values):
        raise OddShapeError(
            "row with coordinates that are not from 0 to 1",
            f"{what} has coordinates that are not from 0 to 1; divide them by the image's size.",
        )
    return label, np.array(values, np.float64).reshape(-1, 2)
