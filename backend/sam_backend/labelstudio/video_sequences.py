"""Boxes in frames <-> Label Studio's sequences of keyframes.

The page numbers frames from 1 by the rate of its tag: frame n is what the video shows at (n - 1) / rate seconds.
Between two keyframes it interpolates x, y, width and height. A keyframe that is not enabled ends a lifespan: the box is
shown in its frame, and no more until the next enabled one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ValidationError

from sam_backend.arrays import FloatArray

_SEEK = 0.002
"""Seconds that the page adds where it seeks a frame."""

Boxes = Mapping[int, FloatArray | None]
"""Number of a frame of the video, from 0 -> box (4,) xyxy in pixels, or None where the object is not visible."""


class _Keyframe(BaseModel):
    frame: int
    x: float
    y: float
    width: float
    height: float
    enabled: bool = True


class _Value(BaseModel):
    sequence: list[_Keyframe]
    labels: list[str] = []


@dataclass(frozen=True)
class PageFrames:
    """How the page numbers the frames of a video.

    Attributes
    ----------
    rate : float, frames a second of the tag.
    times : (N,) float64, the time in seconds of each frame of the video.
    duration : float, seconds of the video.
    """

    rate: float
    times: NDArray[np.float64]
    duration: float

    @property
    def count(self) -> int:
        """The number of frames on the page."""
        return max(round(self.duration * self.rate), 1)

    @property
    def shown(self) -> NDArray[np.int64]:
        """Which frame of the video, from 0, each frame of the page shows."""
        seconds = np.arange(self.count) / self.rate + _SEEK
        return np.maximum(np.searchsorted(self.times, seconds, side="right") - 1, 0)

    @property
    def fits(self) -> bool:
        """Whether each frame of the video has one frame of the page."""
        shown = self.shown
        return len(shown) == len(self.times) and bool((shown == np.arange(len(shown))).all())

    def of_page(self, frame: int) -> int:
        """Return the frame of the video, from 0, that the page's frame, from 1, shows."""
        return int(self.shown[min(max(frame, 1), self.count) - 1])


@dataclass(frozen=True, eq=False)
class DrawnSequence:
    """A region that follows an object.

    Attributes
    ----------
    id : str.
    label : str, its first label; "" without one.
    boxes : the enabled keyframes, by the page's frame: (4,) xyxy in per cent of the frame.
    region : the region as Label Studio sent it.
    """

    id: str
    label: str
    boxes: Mapping[int, FloatArray]
    region: Mapping[str, Any]

    @property
    def is_unchanged(self) -> bool:
        """Whether it is of a prediction, and nobody changed it."""
        return self.region.get("origin") == "prediction"


def read_sequences(result: Sequence[Mapping[str, Any]], control: str) -> list[DrawnSequence]:
    """Return the regions of a control in the result of an annotation; one that is not as it should be is left out."""
    sequences = []
    for region in result:
        if region.get("from_name") != control or region.get("type") != "videorectangle":
            continue
        try:
            value = _Value.model_validate(region.get("value"))
        except ValidationError:
            continue
        boxes = {
            one.frame: np.array([one.x, one.y, one.x + one.width, one.y + one.height], np.float32)
            for one in value.sequence
            if one.enabled and one.width > 0 and one.height > 0
        }
        if boxes:
            sequences.append(DrawnSequence(str(region.get("id")), next(iter(value.labels), ""), boxes, region))
    return sequences


def sequence_value(
    boxes: Boxes, size: tuple[int, int], frames: PageFrames, label: str, tolerance: float
) -> dict[str, Any]:
    """Return the value of a region.

    Parameters
    ----------
    boxes : Boxes, from the first frame in which the object was followed.
    size : (H, W) of a frame in pixels.
    frames : PageFrames.
    label : str; "" for none.
    tolerance : float, pixels by which an interpolated side may be away from its place.
    """
    height, width = size
    placed = {number: boxes.get(frame) for number, frame in enumerate(frames.shown.tolist(), 1) if frame in boxes}
    sequence = []
    for run in _runs(placed):
        corners = np.array([placed[number] for number in run], np.float64)
        kept = _keyframes(corners, tolerance)
        for place in kept:
            left, top, right, bottom = corners[place]
            ends = place == len(run) - 1 and run[-1] < frames.count
            sequence.append(
                {
                    "frame": run[place],
                    "enabled": not ends,
                    "rotation": 0,
                    "x": 100 * left / width,
                    "y": 100 * top / height,
                    "width": 100 * (right - left) / width,
                    "height": 100 * (bottom - top) / height,
                    "time": run[place] / frames.rate,
                }
            )
    labels = {"labels": [label]} if label else {}
    return {"framesCount": frames.count, "duration": frames.duration, "sequence": sequence, **labels}


def _runs(placed: Mapping[int, FloatArray | None]) -> list[list[int]]:
    """Return the stretches of frames without a gap in which the object is visible."""
    runs: list[list[int]] = []
    for number in sorted(placed):
        if placed[number] is None:
            continue
        if runs and runs[-1][-1] == number - 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return runs


def _keyframes(corners: NDArray[np.float64], tolerance: float) -> list[int]:
    """Return the rows of (N, 4) between which all others lie on straight lines up to a tolerance.

    As Ramer, Douglas and Peucker do with a line: where one is off, the worst one is kept, and both sides go on.
    """
    kept = {0, len(corners) - 1}
    stretches = [(0, len(corners) - 1)]
    while stretches:
        first, last = stretches.pop()
        share = (np.arange(first, last + 1) - first)[:, None] / max(last - first, 1)
        straight = corners[first] + share * (corners[last] - corners[first])
        off = np.abs(straight - corners[first : last + 1]).max(1)
        worst = int(off.argmax())
        if off[worst] > tolerance:
            kept.add(first + worst)
            stretches += [(first, first + worst), (first + worst, last)]
    return sorted(kept)
