"""Painting by hand: the brush strokes that a mask still needs, by one stated rule.

A stroke is a straight drag with a round brush. It never leaves the object, and a stroke of the eraser never touches it.
The annotator sees the deepest wrong place, takes the brush and the direction that put most of what is wrong around it
right, and draws as far as the brush fits. Another size than that of the last stroke with the same tool is an action of
its own, and has to be worth it: the most pixels an action win.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from sam_backend.arrays import BoolArray
from sam_backend.masks import distances_to_outside, mask_box, mask_depths
from sam_evaluation.simulation.actions import Tool

MOST_STROKES = 200
"""Strokes after which painting ends in any case."""

_RADII = (1, 1.5, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)
"""Radii in pixels that a brush can have."""

_TRIED = (0.5, 1.0, 2.0, 4.0)
"""Radii that are tried, in multiples of the depth of the wrong place in the object (or outside of it)."""

_DIRECTIONS = 12
_MARGIN = 8
"""Pixels around mask and object in which an eraser may move."""

Depths = NDArray[np.float32]
_Point = tuple[int, int]


@dataclass(frozen=True, eq=False)
class Stroke:
    """A stroke.

    Attributes
    ----------
    tool : Tool, `BRUSH` or `ERASER`.
    resized : whether the size of the tool was changed before it.
    mask : bool (H, W), the mask after it.
    """

    tool: Tool
    resized: bool
    mask: BoolArray


@dataclass(frozen=True, eq=False)
class _Candidate:
    """A possible stroke: what it covers, bool (h, w), and how many wrong pixels it puts right for each action."""

    tool: Tool
    radius: float
    covered: BoolArray
    worth: float


def strokes(mask: BoolArray, truth: BoolArray) -> Iterator[Stroke]:
    """Yield the strokes until the mask is the truth, at most `MOST_STROKES`.

    Parameters
    ----------
    mask, truth : bool (H, W), the mask to paint on and the true one.
    """
    box = mask_box(mask | truth)
    if box is None:
        return
    left, top, right, bottom = box
    place = slice(max(top - _MARGIN, 0), bottom + _MARGIN), slice(max(left - _MARGIN, 0), right + _MARGIN)
    painted, target = mask[place].copy(), truth[place]
    canvases = [_Canvas(Tool.BRUSH, target), _Canvas(Tool.ERASER, ~target)]
    sizes: dict[Tool, float] = {}
    for _ in range(MOST_STROKES):
        candidates = []
        for canvas, wrong in zip(canvases, (target & ~painted, painted & ~target), strict=True):
            if wrong.any():
                candidates.append(canvas.best_stroke(wrong, sizes.get(canvas.tool)))
        if not candidates:
            return
        best = max(candidates, key=lambda candidate: candidate.worth)
        painted = painted | best.covered if best.tool is Tool.BRUSH else painted & ~best.covered
        whole = mask.copy()
        whole[place] = painted
        # The size that the tool has at first is the one that is wanted: in favour of painting.
        yield Stroke(best.tool, best.radius != sizes.get(best.tool, best.radius), whole)
        sizes[best.tool] = best.radius


class _Canvas:
    """Where a tool may go.

    Parameters
    ----------
    tool : Tool.
    allowed : bool (h, w), what it may touch.
    """

    def __init__(self, tool: Tool, allowed: BoolArray) -> None:
        self.tool = tool
        self._allowed = allowed
        # The edge of what is looked at stops the brush, but not the eraser.
        edge = int(tool is Tool.ERASER)
        padded = cv2.copyMakeBorder(allowed.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=edge)
        distances = distances_to_outside(padded)[1:-1, 1:-1]
        self._depths: Depths = np.minimum(distances, _RADII[-1])
        angles = np.pi * np.arange(2 * _DIRECTIONS) / _DIRECTIONS
        # One step more than fits into the canvas: each way ends outside of it.
        steps = np.arange(math.ceil(math.hypot(*allowed.shape)) + 2)[:, None]
        self._ways = np.rint(steps * np.stack([np.cos(angles), np.sin(angles)], axis=1)[:, None]).astype(np.int64)

    def best_stroke(self, wrong: BoolArray, size: float | None) -> _Candidate:
        """Return the stroke through the deepest wrong pixel that is worth most.

        Parameters
        ----------
        wrong : bool (h, w), what the tool has to put right; not empty.
        size : radius of the tool in pixels; None before its first stroke.
        """
        found = mask_depths(wrong)
        assert found is not None
        distance, (left, top) = found
        row, column = np.unravel_index(int(np.argmax(distance)), distance.shape)
        deepest = (left + int(column), top + int(row))
        dot = np.zeros(wrong.shape, bool)
        dot[deepest[1], deepest[0]] = True
        best = _Candidate(self.tool, size or _RADII[0], dot, 0.0)
        for radius, centre in self._brushes(deepest, size):
            actions = 1 if size in (None, radius) else 2
            for start, end in self._lines(centre, radius):
                canvas = np.zeros(wrong.shape, np.uint8)
                cv2.line(canvas, start, end, 1, max(round(2 * radius - 1), 1))
                covered = (canvas.view(bool) & self._allowed) | dot
                worth = int(np.count_nonzero(covered & wrong)) / actions
                if worth > best.worth:
                    best = _Candidate(self.tool, radius, covered, worth)
        return best

    def _brushes(self, point: _Point, size: float | None) -> Iterator[tuple[float, _Point]]:
        """Yield radii and, for each, the nearest centre at which a brush of that radius fits and covers the point."""
        x, y = point
        depth = float(self._depths[y, x])
        tried = {max((radius for radius in _RADII if radius <= share * depth), default=_RADII[0]) for share in _TRIED}
        for radius in sorted(tried if size is None else tried | {size}):
            reach = int(radius)
            top, left = max(y - reach, 0), max(x - reach, 0)
            rows, columns = np.nonzero(self._depths[top : y + reach + 1, left : x + reach + 1] >= radius)
            if not len(rows):
                continue
            away = (rows + top - y) ** 2 + (columns + left - x) ** 2
            nearest = int(np.argmin(away))
            if away[nearest] < radius**2:
                yield radius, (int(columns[nearest]) + left, int(rows[nearest]) + top)

    def _lines(self, centre: _Point, radius: float) -> set[tuple[_Point, _Point]]:
        """Return the straight strokes through a centre, each as long as the brush fits."""
        height, width = self._depths.shape
        places = self._ways + np.array(centre)
        columns, rows = places[..., 0], places[..., 1]
        inside = (columns >= 0) & (rows >= 0) & (columns < width) & (rows < height)
        fits = inside & (self._depths[rows.clip(0, height - 1), columns.clip(0, width - 1)] >= radius)
        last = np.maximum(np.argmin(fits, axis=1) - 1, 0)
        ends = [(int(x), int(y)) for x, y in places[np.arange(len(places)), last]]
        return {(ends[turn], ends[turn + _DIRECTIONS]) for turn in range(_DIRECTIONS)}
