"""Objects followed by examples of themselves: any segmenter with features, frame by frame.

In each frame, a few places are proposed for each object: where it is expected, where its appearance answers most, and
where its last mask would be. The segmenter outlines them. How likely each outline is the object follows from its
evidence; the objects then share the outlines so that no two have the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from sam_backend.arrays import BoolArray, FloatArray, ImageArray
from sam_backend.samples import Cropped
from sam_backend.segmenters import Embedding, Prompt, Segmenter
from sam_backend.segmenters.tracking import TrackedMask
from sam_backend.video.appearance import Appearance, Cells, around
from sam_backend.video.motion import WHOLE, Motion

SEEN = 0.5
"""Score from which an object counts as seen."""

_LEARNS = 0.8
"""Score from which an object's appearance learns from a frame."""

_SAME = 0.5
"""IoU from which two outlines are of the same thing, so that one object alone can have it."""

_REACH = 4.0
"""Radii of the object, and as many a frame of absence as `_GROWTH` says, within which it is looked for."""

_GROWTH = 0.5

EVIDENCE = ("predicted IoU", "inside", "contrast", "smaller", "larger", "distance", "overlap", "absent")
WEIGHTS = np.array([1.0, 3.0, 2.0, -1.0, -2.0, -0.7, 2.0, 0.0])
BIAS = -3.5


@dataclass(frozen=True, eq=False)
class Outline:
    """What the segmenter answered to one of the prompts of a frame."""

    mask: Cropped
    predicted_iou: float


@dataclass(eq=False)
class _Followed:
    """An object that is followed."""

    motion: Motion
    appearance: Appearance = field(default_factory=Appearance)


class ExampleTracker:
    """A `Tracker` around a segmenter that has features.

    Parameters
    ----------
    segmenter : Segmenter.
    """

    def __init__(self, segmenter: Segmenter) -> None:
        self._segmenter = segmenter
        self.name, self.version = segmenter.name, segmenter.version

    def start(self) -> ExampleSession:
        """Begin a video."""
        return ExampleSession(self._segmenter)


class ExampleSession:
    """A `TrackingSession`; what it keeps does not grow with the video."""

    def __init__(self, segmenter: Segmenter) -> None:
        self._segmenter = segmenter
        self._objects: dict[int, _Followed] = {}

    def step(self, pixels: ImageArray, prompts: Mapping[int, Prompt]) -> dict[int, TrackedMask]:
        """Look at the next frame; see `TrackingSession.step`."""
        if not (self._objects or prompts):
            return {}
        embedding = self._segmenter.encode(pixels)
        cells = Cells.of(self._segmenter, embedding)
        found = self._prompted(embedding, prompts)
        looked_for = {number: one for number, one in self._objects.items() if number not in prompts}
        found |= self._follow(looked_for, embedding, cells, [one.mask for one in found.values()])
        _part(found)
        self._remember(found, prompts, cells)
        return dict(sorted(found.items()))

    def _prompted(self, embedding: Embedding, prompts: Mapping[int, Prompt]) -> dict[int, TrackedMask]:
        given = {
            number: TrackedMask(Cropped.of(prompt.mask), 1.0, visible=True)
            for number, prompt in prompts.items()
            if prompt.mask is not None and not len(prompt.points)
        }
        asked = {number: prompt for number, prompt in prompts.items() if number not in given}
        answers = self._segmenter.decode(embedding, list(asked.values())) if asked else []
        for number, answer in zip(asked, answers, strict=True):
            given[number] = TrackedMask(
                answer.crop(answer.best), float(answer.predicted_iou[answer.best]), visible=True
            )
        return given

    def _follow(
        self, objects: Mapping[int, _Followed], embedding: Embedding, cells: Cells, taken: Sequence[Cropped]
    ) -> dict[int, TrackedMask]:
        if not objects:
            return {}
        responses = {number: one.appearance.response(cells) for number, one in objects.items()}
        prompts = [
            prompt for number, one in objects.items() for prompt in _places(one.motion, responses[number], cells)
        ]
        outlines = [
            Outline(answer.crop(answer.best), float(answer.predicted_iou[answer.best]))
            for answer in (self._segmenter.decode(embedding, prompts, multimask=False) if prompts else ())
        ]
        outlines = [
            one for one in outlines if one.mask.area and not any(_iou(one.mask, mask) > _SAME for mask in taken)
        ]
        covers = [cells.covered(one.mask) for one in outlines]
        scores = np.array(
            [
                [
                    _score(evidence(one.motion, responses[number], outline, cover))
                    for outline, cover in zip(outlines, covers, strict=True)
                ]
                for number, one in objects.items()
            ]
        ).reshape(len(objects), len(outlines))
        chosen = share(scores, [one.mask for one in outlines])
        found = {}
        for row, number in enumerate(objects):
            column = chosen[row]
            if column is None:
                found[number] = TrackedMask.absent(embedding.size, float(scores[row].max(initial=0)))
            else:
                found[number] = TrackedMask(outlines[column].mask, float(scores[row, column]), visible=True)
        return found

    def _remember(self, found: Mapping[int, TrackedMask], prompts: Mapping[int, Prompt], cells: Cells) -> None:
        covered = {number: cells.covered(one.mask) for number, one in found.items() if one.visible and one.mask.area}
        for number, one in found.items():
            known = self._objects.get(number)
            if number in prompts:
                if not one.mask.area:
                    continue
                motion = Motion.of(one.mask, known.motion if known else None)
                self._objects[number] = known = known or _Followed(motion)
                known.motion = motion
            else:
                assert known is not None
                whole = one.mask.area >= WHOLE * known.motion.area
                known.motion = known.motion.at(one.mask) if one.visible else known.motion.hidden()
                if not (one.visible and whole and one.score >= _LEARNS):
                    continue
            others = np.logical_or.reduce(
                [np.zeros(cells.shape, bool), *(part for other, part in covered.items() if other != number)]
            )
            known.appearance.learn(cells, covered[number], others, prompted=number in prompts)


def _places(motion: Motion, response: FloatArray, cells: Cells) -> list[Prompt]:
    """Return the prompts with which an object is looked for."""
    expected = motion.expected
    boxes = [motion.box(expected)]
    reach = motion.radius * (_REACH + _GROWTH * motion.absent)
    per_cell = max(cells.size) / max(cells.shape)
    width, height = np.maximum(np.round(motion.sides / per_cell).astype(int), 1)
    smooth = cv2.blur(np.clip(response, -0.5, 1.5), (int(width), int(height)), borderType=cv2.BORDER_CONSTANT)
    rows, columns = np.indices(response.shape)
    middles = np.stack([columns + 0.5, rows + 0.5], 2) * per_cell
    away = np.linalg.norm(middles - expected, axis=2)
    wanted = np.where(away <= reach, smooth - 0.1 * away / reach, -np.inf)
    for _ in range(3 if motion.absent else 1):
        row, column = np.unravel_index(int(np.argmax(wanted)), wanted.shape)
        if not np.isfinite(wanted[row, column]):
            break
        boxes.append(motion.box(middles[row, column]))
        wanted[
            max(row - height // 2, 0) : row + height // 2 + 1, max(column - width // 2, 0) : column + width // 2 + 1
        ] = -np.inf
    near = (response > 0.5) & (away <= reach)
    count, _, stats, centres = cv2.connectedComponentsWithStats(near.astype(np.uint8), connectivity=8)
    big = [part for part in range(1, count) if stats[part, cv2.CC_STAT_AREA] >= 0.2 * motion.area / per_cell**2]
    big.sort(key=lambda part: float(np.linalg.norm((centres[part] + 0.5) * per_cell - expected)))
    for part in big[: 2 if motion.absent else 1]:
        left, top, wide, high = stats[part, :4]
        boxes.append(np.array([left, top, left + wide, top + high], np.float32) * per_cell)
    prompts = [Prompt(box=box, window=_whole(cells.size)) for box in boxes if box[2] > box[0] and box[3] > box[1]]
    moved = motion.moved()
    if not motion.absent and moved.area:
        prompts.append(Prompt(box=np.array(moved.box, np.float32), drawn=moved, window=_whole(cells.size)))
    return prompts


def _whole(size: tuple[int, int]) -> tuple[int, int, int, int]:
    return 0, 0, size[1], size[0]


def evidence(motion: Motion, response: FloatArray, outline: Outline, cover: BoolArray) -> NDArray[np.float64]:
    """Return how an outline agrees with an object, in the order of `EVIDENCE`."""
    inside = float(np.clip(response[cover], -0.5, 1.5).mean())
    ring = around(cover)
    beside = float(np.clip(response[ring], -0.5, 1.5).mean()) if ring.any() else 0.0
    ratio = np.log(outline.mask.area / max(motion.area, 1.0))
    left, top, right, bottom = outline.mask.box
    middle = np.array([left + right, top + bottom]) / 2
    distance = np.linalg.norm(middle - motion.expected) / motion.radius / (1 + _GROWTH / 2 * motion.absent)
    overlap = 0.0 if motion.absent else _iou(outline.mask, motion.moved())
    values = [
        outline.predicted_iou,
        inside,
        inside - beside,
        max(-ratio, 0),
        max(ratio, 0),
        min(distance, 4),
        overlap,
        min(motion.absent, 10) / 10,
    ]
    return np.array(values)


def _score(values: NDArray[np.float64]) -> float:
    return float(1 / (1 + np.exp(-(values @ WEIGHTS + BIAS))))


def share(scores: NDArray[np.float64], masks: Sequence[Cropped]) -> list[int | None]:
    """Share outlines among objects so that the sum of log-odds is largest; outlines of the same thing go to one object.

    Parameters
    ----------
    scores : (K, N) of each object and outline.
    masks : N outlines.

    Returns
    -------
    list
        For each object its outline; None where none has a score of `SEEN` or all such go to others.
    """
    from scipy.optimize import linear_sum_assignment

    things: list[list[int]] = []
    for index in sorted(range(len(masks)), key=lambda index: -float(scores[:, index].max(initial=0))):
        near = next((thing for thing in things if _iou(masks[index], masks[thing[0]]) > _SAME), None)
        if near is None:
            things.append([index])
        else:
            near.append(index)
    if not things:
        return [None] * len(scores)
    best = np.stack([scores[:, thing].max(1) for thing in things], 1)
    gain = np.maximum(np.log(best + 1e-9) - np.log(1 - best + 1e-9), 0)
    rows, columns = linear_sum_assignment(-np.concatenate([gain, np.zeros((len(scores),) * 2)], 1))
    chosen: list[int | None] = [None] * len(scores)
    for row, column in zip(rows.tolist(), columns.tolist(), strict=True):
        if column < len(things) and best[row, column] >= SEEN:
            thing = things[column]
            chosen[row] = thing[int(np.argmax(scores[row, thing]))]
    return chosen


def _part(found: dict[int, TrackedMask]) -> None:
    """Give pixels that several objects have to the one with the highest score."""
    order = sorted((number for number, one in found.items() if one.visible), key=lambda number: -found[number].score)
    for place, number in enumerate(order):
        for better in order[:place]:
            one = found[number]
            if one.mask.shared(found[better].mask):
                rest = one.mask.without(found[better].mask)
                found[number] = TrackedMask(rest, one.score, visible=one.visible)


def _iou(one: Cropped, other: Cropped) -> float:
    shared = one.shared(other)
    return shared / max(one.area + other.area - shared, 1)
