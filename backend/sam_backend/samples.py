"""An image with its labelled masks: data sets and accepted annotations yield it, models learn from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from sam_backend.arrays import BoolArray, ImageArray


@dataclass(frozen=True, eq=False)
class Cropped:
    """A mask that stores only its box: thousands of small masks of a large image fit into memory.

    Attributes
    ----------
    part : bool (h, w), the mask inside its box.
    corner : (row, column) of its first pixel in the image.
    size : (H, W) of the image in pixels.
    """

    part: BoolArray
    corner: tuple[int, int]
    size: tuple[int, ...]

    @classmethod
    def of(cls, mask: BoolArray | Cropped) -> Cropped:
        """Crop a mask bool (H, W); return one that is cropped already."""
        if isinstance(mask, Cropped):
            return mask
        return cls.of_part(mask, (0, 0), mask.shape)

    @classmethod
    def of_part(cls, part: BoolArray, corner: tuple[int, int], size: tuple[int, ...]) -> Cropped:
        """Crop a mask that lies in a part, bool (h, w), at `corner` (row, column) of an image of `size` (H, W)."""
        # OpenCV is not imported by who only asks which models there are.
        from sam_backend.masks import mask_box

        left, top, right, bottom = mask_box(part) or (0, 0, 0, 0)
        return cls(part[top:bottom, left:right].copy(), (corner[0] + top, corner[1] + left), size)

    @property
    def area(self) -> int:
        """The number of pixels in the mask."""
        return int(np.count_nonzero(self.part))

    @property
    def box(self) -> tuple[int, int, int, int]:
        """The box xyxy of the part in pixels of the image, half-open."""
        (row, column), (height, width) = self.corner, self.part.shape
        return column, row, column + width, row + height

    @property
    def place(self) -> tuple[slice, slice]:
        """Rows and columns of the part in the image."""
        (row, column), (height, width) = self.corner, self.part.shape
        return slice(row, row + height), slice(column, column + width)

    @property
    def mask(self) -> BoolArray:
        """The whole mask, bool (H, W), a new array at each call."""
        whole = np.zeros(self.size, bool)
        whole[self.place] = self.part
        return whole

    def within(self, window: tuple[int, int, int, int]) -> BoolArray:
        """Return the mask of a window, xyxy in pixels of the image, as bool of the window's size, a new array."""
        left, top, right, bottom = window
        shown = Cropped(np.zeros((bottom - top, right - left), bool), (top, left), self.size)
        own, others = shown._shared(self)
        shown.part[own] = self.part[others]
        return shown.part

    def joined(self, other: Cropped) -> Cropped:
        """Return the union with another mask of the same image."""
        if not (self.part.size and other.part.size):
            return self if self.part.size else other
        corners = np.array([self.corner, other.corner])
        ends = corners + np.array([self.part.shape, other.part.shape])
        (row, column), shape = corners.min(0).tolist(), ends.max(0) - corners.min(0)
        part = np.zeros(shape, bool)
        for one in (self, other):
            rows, columns = one.place
            part[rows.start - row : rows.stop - row, columns.start - column : columns.stop - column] |= one.part
        return Cropped(part, (row, column), self.size)

    def without(self, other: Cropped) -> Cropped:
        """Return the pixels that another mask of the same image does not have."""
        part = self.part.copy()
        own, others = self._shared(other)
        part[own] &= ~other.part[others]
        return Cropped.of_part(part, self.corner, self.size)

    def shared(self, other: Cropped) -> int:
        """Return the number of pixels that another mask of the same image has, too."""
        own, others = self._shared(other)
        return int(np.count_nonzero(self.part[own] & other.part[others]))

    def iou(self, other: Cropped) -> float:
        """Return the intersection over union with another mask of the same image; 0 where both are empty."""
        shared = self.shared(other)
        return shared / max(self.area + other.area - shared, 1)

    def _shared(self, other: Cropped) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
        """Return the rows and columns of both parts where the boxes overlap."""
        low = np.maximum(self.corner, other.corner)
        high = np.minimum(np.add(self.corner, self.part.shape), np.add(other.corner, other.part.shape))
        high = np.maximum(low, high)
        own, others = (
            tuple(slice(start, stop) for start, stop in zip(low - one.corner, high - one.corner, strict=True))
            for one in (self, other)
        )
        return own, others


class Object:
    """One object to be segmented.

    Parameters
    ----------
    mask : bool (H, W) or Cropped, not empty.
    label : str, its class.
    annotator : int, the number of the person who outlined it, where several people outlined the same image; else 0.
    """

    def __init__(self, mask: BoolArray | Cropped, label: str, annotator: int = 0) -> None:
        self.cropped = Cropped.of(mask)
        self.label = label
        self.annotator = annotator

    @property
    def mask(self) -> BoolArray:
        """The whole mask, bool (H, W), a new array at each call."""
        return self.cropped.mask


@dataclass(frozen=True, eq=False)
class Sample:
    """An image with all its objects.

    Attributes
    ----------
    name : str, unique in its data set, mostly the image's path in it.
    image : uint8 RGB (H, W, 3), turned by EXIF.
    objects : tuple of Object; empty for an image without any defect.
    left_out : mapping, reason -> how many annotations of the image are no objects for that reason, for example "crowd".
    examples : mapping, reason -> where the first of them is, for example "row 2 of labels/a.txt"; may lack reasons.
    notes : tuple of str, what was read otherwise than its file says, for example an image that was found by its name.
    file : Path of the image; None where the image is inside another file.
    """

    name: str
    image: ImageArray
    objects: tuple[Object, ...] = field(default=())
    left_out: Mapping[str, int] = field(default_factory=dict)
    examples: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = field(default=())
    file: Path | None = None
