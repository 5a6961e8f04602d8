"""How many objects went over a line, from their tracks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sam_backend.errors import BadRequestError
from sam_backend.video.track_files import TrackRow

Point = NDArray[np.float64]

_NEAR = 0.05
"""Share of the box's height within which a foot point is on neither side, so that trembling is not counted."""

_FAR = 1e9
"""Pixels; no video is that large."""


@dataclass(frozen=True)
class Crossing:
    """An object that went over the line.

    Attributes
    ----------
    number : int, the object's.
    label : str.
    frame, time : of the first frame in which it was seen on the other side.
    to_right : bool, whether it went from the left to the right of who looks along the line from its start to its end.
    """

    number: int
    label: str
    frame: int
    time: float
    to_right: bool


def line_crossings(rows: Iterable[TrackRow], line: tuple[float, float, float, float]) -> list[Crossing]:
    """Return the crossings in the order of time.

    The place of an object is the middle of the lower side of its box, where people touch the ground. It crosses the
    line where that place is seen on one side and, the next time that it is seen clearly, on the other side, and its way
    between the two meets the line between its ends. Frames in which it is hidden lie in between and change nothing.

    Parameters
    ----------
    rows : TrackRow, of all frames.
    line : x0, y0, x1, y1 in pixels.

    Raises
    ------
    BadRequestError
        If the line has no length, or its ends are no places.

    Examples
    --------
    >>> walk = [TrackRow(frame, frame / 25, 1, "", (10 * frame, 0, 10 * frame + 4, 20), 1.0) for frame in range(5)]
    >>> [(one.frame, one.to_right) for one in line_crossings(walk, (25, 40, 25, 0))]  # upwards at x = 25
    [(3, True)]
    """
    start, end = np.array(line[:2], np.float64), np.array(line[2:], np.float64)
    if not (np.abs(line) < _FAR).all() or not (end - start).any():
        raise BadRequestError(f"A line has two ends x0,y0,x1,y1 that differ; got {','.join(f'{x:g}' for x in line)}.")
    last: dict[int, Point] = {}
    crossings = []
    for row in sorted(rows, key=lambda row: row.frame):
        if row.box is None:
            continue
        foot = np.array([(row.box[0] + row.box[2]) / 2, row.box[3]])
        if abs(_side(start, end, foot)) <= _NEAR * (row.box[3] - row.box[1]):
            continue
        before = last.get(row.number)
        last[row.number] = foot
        turned = before is not None and _side(start, end, before) * _side(start, end, foot) < 0
        if turned and before is not None and _meets(start, end, before, foot):
            crossings.append(Crossing(row.number, row.label, row.frame, row.time, _side(start, end, foot) > 0))
    return crossings


def _side(start: Point, end: Point, point: Point) -> float:
    """Return the distance of a point from a line in pixels, positive to the right (y grows downwards)."""
    along, to = end - start, point - start
    return float((along[0] * to[1] - along[1] * to[0]) / np.linalg.norm(along))


def _meets(start: Point, end: Point, before: Point, now: Point) -> bool:
    return _side(before, now, start) * _side(before, now, end) <= 0
