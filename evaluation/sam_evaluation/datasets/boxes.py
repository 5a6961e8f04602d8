"""Boxes of a data set without masks: what `sam-inspect convert` makes masks of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from sam_backend.arrays import FloatArray, ImageArray
from sam_backend.samples import Cropped, Object
from sam_evaluation.datasets.dataset import Dataset
from sam_evaluation.datasets.tally import OddShapeError, Tally

OUTSIDE, EMPTY = "box outside its image", "box without an area"
"""Reasons for which a box is left out."""

NO_MASK, NO_OUTLINE = "box or point without a mask", "box without an outline"
"""Reasons for which a box is left out where masks are read."""


@dataclass(frozen=True, eq=False)
class DrawnBox:
    """A box that somebody drew, or that a detector found.

    Attributes
    ----------
    box : float32 (4,) xyxy in pixels, inside the image.
    category : int or str, the id of its class in the data set.
    fields : what else the data set says of it, as COCO names it.
    """

    box: FloatArray
    category: int | str
    fields: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class BoxedImage:
    """An image with its boxes.

    Attributes
    ----------
    name : str, as of `Dataset.names`.
    file : Path of the image.
    image : uint8 RGB (H, W, 3).
    boxes : sequence of DrawnBox.
    outlined : COCO's annotations of the image that have a mask already.
    tally : Tally, what was left out.
    """

    name: str
    file: Path
    image: ImageArray
    boxes: Sequence[DrawnBox]
    outlined: Sequence[Mapping[str, Any]]
    tally: Tally

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) in pixels."""
        return self.image.shape[0], self.image.shape[1]


def filled_box(drawn: DrawnBox, size: tuple[int, int], label: str) -> Object:
    """Return a box as an object of an image of `size` (H, W): whole pixels, at least one."""
    left, top, right, bottom = (round(float(value)) for value in drawn.box)
    left, top = min(left, size[1] - 1), min(top, size[0] - 1)
    part = np.ones((max(bottom - top, 1), max(right - left, 1)), np.bool_)
    return Object(Cropped(part, (top, left), size), label)


class BoxDataset(Dataset, Protocol):
    """A data set whose annotations may be boxes without masks."""

    def boxes(self, name: str) -> BoxedImage:
        """Read an image and its boxes.

        Raises
        ------
        BrokenSampleError
            If the image or its annotation cannot be read.
        """

    def coco_head(self) -> dict[str, Any]:
        """Return COCO's file without `annotations`; the `file_name` of each image is its name."""


def unknown_class(number: object, what: str) -> OddShapeError:
    """Return the error for a box whose class the data set does not name."""
    return OddShapeError(f"box of an unknown class ({number})", f"{what} has the class {number}, which has no name.")


def corners_of(bbox: Any) -> Sequence[float]:
    """Return x0, y0, x1, y1 of COCO's x, y, width, height; nothing if that is no list of four numbers."""
    is_box = isinstance(bbox, list) and len(bbox) == 4 and all(isinstance(value, int | float) for value in bbox)
    return (bbox[0], bbox[1], bbox[0] + bbox[2], bbox[1] + bbox[3]) if is_box else ()


def inside(corners: Sequence[float] | NDArray[np.float64], size: tuple[int, int], what: str) -> FloatArray:
    """Return a box (4,) xyxy, cut off at the edges of an image of `size` (H, W).

    Raises
    ------
    OddShapeError
        If the corners are no four numbers, or no part of the box with an area lies in the image.
    """
    try:
        box = np.asarray(corners, np.float64)
    except OverflowError:
        box = np.full(4, np.inf)
    if box.shape != (4,) or not np.isfinite(box).all():
        raise OddShapeError("box that is not of four numbers", f"{what} has a box that is not of four numbers.")
    cut = np.clip(box, 0, [size[1], size[0], size[1], size[0]])
    if _has_area(box) and not _has_area(cut):
        raise OddShapeError(OUTSIDE, f"{what} has a box outside its image of {size[1]} x {size[0]}.")
    single: FloatArray = cut.astype(np.float32)
    if not _has_area(single):
        raise OddShapeError(EMPTY, f"{what} has a box without an area.")
    return single


def _has_area(box: NDArray[Any]) -> bool:
    return bool(box[2] > box[0] and box[3] > box[1])
