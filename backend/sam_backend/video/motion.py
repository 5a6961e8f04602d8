"""Where an object is expected: it goes on as it did while it was wholly seen."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sam_backend.arrays import FloatArray
from sam_backend.samples import Cropped

WHOLE = 0.85
"""Least share of its usual area that an object shows where it counts as wholly seen."""

_STEPS = 2
"""Frames from which the velocity is known; before, also a part of the object says more than nothing."""

_SMOOTHING = 0.25
"""Share of the last step in the velocity."""

_DRAWN = 0.2
"""Share by which the place of an object that is seen in part is drawn to the middle of that part."""

_SLOWING = 0.99
"""Share of its velocity that an object keeps in a frame in which it is hidden."""

_RESHAPING = 0.1
"""Share of the last frame in the usual size."""

_SHRINKING = 0.02
"""The same where the object is seen in part."""


@dataclass(frozen=True, eq=False)
class Motion:
    """What is known of an object's place.

    Attributes
    ----------
    centre : (2,) float64, xy in pixels of the middle of its box, expected or seen.
    velocity : (2,) float64, pixels a frame.
    sides : (2,) float64, its usual width and height in pixels.
    area : float, its usual pixels.
    mask : Cropped, as it was seen last.
    seen : (2,) float64, the middle of the box of `mask`.
    absent : int, frames since it was seen.
    age : int, frames in which it was wholly seen.
    """

    centre: NDArray[np.float64]
    velocity: NDArray[np.float64]
    sides: NDArray[np.float64]
    area: float
    mask: Cropped
    seen: NDArray[np.float64]
    absent: int = 0
    age: int = 1

    @classmethod
    def of(cls, mask: Cropped, before: Motion | None = None) -> Motion:
        """Return that of an object where a prompt says it is; `before` it may have moved."""
        middle, sides = _middle(mask), _sides(mask)
        velocity = before.velocity if before is not None else np.zeros(2)
        return cls(middle, velocity, sides, mask.area, mask, middle)

    @property
    def radius(self) -> float:
        """Half of the geometric mean of its sides, in pixels."""
        return float(np.sqrt(self.sides.prod())) / 2

    @property
    def is_known(self) -> bool:
        """Whether its velocity has been seen in more than one step."""
        return self.age > _STEPS

    @property
    def expected(self) -> NDArray[np.float64]:
        """The middle of its box in the next frame."""
        return self.centre + self.velocity

    def box(self, middle: NDArray[np.float64]) -> FloatArray:
        """Return the box (4,) xyxy of its usual size around a place, cut to the frame."""
        height, width = self.mask.size
        corners = np.concatenate([middle - self.sides / 2, middle + self.sides / 2])
        return np.clip(corners, 0, [width, height] * 2).astype(np.float32)

    def moved(self) -> Cropped:
        """Return the last mask at the place that is expected."""
        column, row = np.round(self.expected - self.seen).astype(int)
        top, left = self.mask.corner
        top, left = top + int(row), left + int(column)
        low_row, low_column = max(-top, 0), max(-left, 0)
        end_row, end_column = max(self.mask.size[0] - top, 0), max(self.mask.size[1] - left, 0)
        part = self.mask.part[low_row:end_row, low_column:end_column]
        if not part.size:
            return Cropped(np.zeros((0, 0), bool), (0, 0), self.mask.size)
        return Cropped.of_part(part, (top + low_row, left + low_column), self.mask.size)

    def hidden(self) -> Motion:
        """Return that after a frame in which the object was not seen; it goes on, more and more slowly."""
        return replace(self, centre=self.expected, velocity=self.velocity * _SLOWING, absent=self.absent + 1)

    def at(self, mask: Cropped) -> Motion:
        """Return that after a frame in which the object was seen."""
        middle = _middle(mask)
        if mask.area < WHOLE * self.area and self.is_known:
            # The middle of a part says little of the whole; it goes on as before, drawn to what is seen.
            centre = self.expected + _DRAWN * (middle - self.expected)
            # Unless it stays as small: then it has gone away, or turned.
            area = self.area + _SHRINKING * (mask.area - self.area)
            sides = self.sides * np.sqrt(area / self.area)
            return replace(self, centre=centre, sides=sides, area=area, mask=mask, seen=middle, absent=0)
        # Where it went while it was hidden, nobody saw.
        step = self.velocity if self.absent else middle - self.centre
        weight = max(_SMOOTHING, 1 / self.age)
        return Motion(
            middle,
            self.velocity + weight * (step - self.velocity),
            self.sides + _RESHAPING * (_sides(mask) - self.sides),
            self.area + _RESHAPING * (mask.area - self.area),
            mask,
            middle,
            age=self.age + 1,
        )


def _middle(mask: Cropped) -> NDArray[np.float64]:
    left, top, right, bottom = mask.box
    return np.array([left + right, top + bottom]) / 2


def _sides(mask: Cropped) -> NDArray[np.float64]:
    left, top, right, bottom = mask.box
    return np.array([right - left, bottom - top], np.float64)
