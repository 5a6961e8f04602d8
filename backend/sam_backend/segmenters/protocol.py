"""The one protocol behind which models differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sam_backend.arrays import BoolArray, FloatArray, ImageArray
from sam_backend.errors import BadRequestError
from sam_backend.samples import Cropped
from sam_backend.segmenters.mask_stack import MaskStack
from sam_backend.segmenters.model_info import ModelInfo

Window = tuple[int, int, int, int]
"""A part of an image, xyxy in whole pixels, half-open."""

POSITIVE = 1
NEGATIVE = 0


def _no_points() -> FloatArray:
    return np.zeros((0, 2), np.float32)


def _no_labels() -> NDArray[np.int64]:
    return np.zeros(0, np.int64)


@dataclass(frozen=True, eq=False)
class Prompt:
    """Points, a box or logits that say what to segment, in pixels of the original, EXIF-turned image (x right, y down).

    Attributes
    ----------
    points : (N, 2) float32, xy; (0, 2) for none.
    labels : (N,) int, 1 for a positive and 0 for a negative point.
    box : (4,) float32 xyxy, half-open, or None.
    logits : (h, w) float32, low-resolution logits of an earlier answer of the same segmenter to the same image, fed
        back as the mask prompt; or None.
    window : the part of the image that `logits` show, from `Candidates.window`; None for all of it. A segmenter that
        takes a second look stays in a given window where the prompt allows it; the whole image as the window means no
        second look. Other segmenters ignore it.
    mask : (H, W) bool, a mask of the image to correct, whoever made it: a model, a proposal or a person; or None. The
        points are then all clicks about it in their order, the newest last; without points, it is only made better.
    drawn : Cropped, what a person drew: a stroke, given with points along it, or the inside of an outline, given with
        its box; or None, as for one without pixels. A model that takes logits makes them of it
        (`sam_backend.segmenters.drawn_masks`); others ignore it.

    Raises
    ------
    BadRequestError
        If the prompt is empty, or its shapes, labels, box or window are invalid.
    """

    points: FloatArray = field(default_factory=_no_points)
    labels: NDArray[np.int64] = field(default_factory=_no_labels)
    box: FloatArray | None = None
    logits: FloatArray | None = None
    window: Window | None = None
    mask: BoolArray | None = None
    drawn: Cropped | None = None

    def __post_init__(self) -> None:
        points = np.asarray(self.points, np.float32).reshape(-1, 2)
        labels = np.asarray(self.labels, np.int64).reshape(-1)
        object.__setattr__(self, "points", points)
        object.__setattr__(self, "labels", labels)
        if len(points) != len(labels):
            raise BadRequestError(f"A prompt needs one label a point; got {len(points)} points, {len(labels)} labels.")
        if not np.isin(labels, (NEGATIVE, POSITIVE)).all():
            raise BadRequestError(f"Point labels are 1 (positive) or 0 (negative); got {sorted(set(labels.tolist()))}.")
        if self.box is not None:
            box = np.asarray(self.box, np.float32).reshape(-1)
            object.__setattr__(self, "box", box)
            if box.shape != (4,) or not (box[2] > box[0] and box[3] > box[1]):
                raise BadRequestError(f"A box is x0, y0, x1, y1 with x1 > x0 and y1 > y0; got {box.tolist()}.")
        left, top, right, bottom = self.window or (0, 0, 1, 1)
        if not (0 <= left < right and 0 <= top < bottom):
            raise BadRequestError(f"A window is x0, y0, x1, y1 with x1 > x0 >= 0 and y1 > y0 >= 0; got {self.window}.")
        if self.drawn is not None and not self.drawn.part.size:
            object.__setattr__(self, "drawn", None)
        if self.mask is not None:
            object.__setattr__(self, "mask", np.asarray(self.mask, np.bool_))
            if self.mask.ndim != 2 or any(part is not None for part in (self.box, self.logits, self.drawn)):
                raise BadRequestError("A mask to correct has the image's shape (H, W), and beside it only points.")
        elif self.drawn is not None and self.logits is not None:
            raise BadRequestError("A prompt has what was drawn or logits of an earlier answer, not both.")
        elif not len(points) and self.box is None and self.logits is None:
            raise BadRequestError("A prompt needs at least one point, a box, logits or a mask; got none of them.")

    @property
    def is_ambiguous(self) -> bool:
        """Whether it is a lone click, which SAM answers with several masks instead of one."""
        beside = (self.box, self.logits, self.mask, self.drawn)
        return len(self.points) == 1 and all(part is None for part in beside)


@dataclass(frozen=True, eq=False)
class Embedding:
    """An encoded image, as plain arrays: any cache can hold it and any process can decode it.

    Attributes
    ----------
    arrays : name -> array, the input of the segmenter's decoder.
    size : (height, width) of the original image in pixels.
    """

    arrays: Mapping[str, NDArray[np.generic]]
    size: tuple[int, int]

    @property
    def nbytes(self) -> int:
        """Bytes held by the arrays."""
        return sum(array.nbytes for array in self.arrays.values())


@dataclass(frozen=True, eq=False)
class Candidates:
    """A segmenter's answer to one prompt: one or more masks, in any order.

    Attributes
    ----------
    masks : (K, H, W) bool, in pixels of the original image; an array, or a stack that is drawn as far as it is needed.
    predicted_iou : (K,) float32, the model's estimate of each mask's IoU with the true one.
    logits : (K, h, w) float32, low-resolution logits, can be fed back as `Prompt.logits`.
    window : the part of the image that `logits` show, must be fed back as `Prompt.window`; None for all of it.
    """

    masks: BoolArray | MaskStack
    predicted_iou: FloatArray
    logits: FloatArray
    window: Window | None = None

    @property
    def best(self) -> int:
        """Index of the mask with the highest predicted IoU."""
        return int(np.argmax(self.predicted_iou))

    def crop(self, index: int) -> Cropped:
        """Return a mask inside its box: the way to a mask of a large image that takes little memory."""
        return MaskStack.of(self.masks).crop(index)


@dataclass(frozen=True, eq=False)
class DenseFeatures:
    """A model's features of an image: what it sees at each place, for comparing places of images.

    Attributes
    ----------
    values : (n, n, C) float32; the image's longer side is n cells long, the rest is padding at the right or bottom.
    shown : (rows, columns) of `values` that show the image.
    """

    values: FloatArray
    shown: tuple[int, int]

    @classmethod
    def of_square(cls, values: FloatArray, input_size: NDArray[np.generic], side: int) -> DenseFeatures:
        """Return the features of a model that resizes an image to `input_size` and pads it to a square.

        Parameters
        ----------
        values : (n, n, C) float32.
        input_size : (2,) int, height and width in pixels of the resized image.
        side : int, the square's side in pixels.
        """
        rows, columns = np.ceil(np.asarray(input_size, np.float64) * (len(values) / side)).astype(int).tolist()
        return cls(np.ascontiguousarray(values, np.float32), (rows, columns))

    @property
    def inside(self) -> FloatArray:
        """The part (rows, columns, C) that shows the image."""
        return self.values[: self.shown[0], : self.shown[1]]


class Segmenter(Protocol):
    """A model that encodes an image once and answers many prompts on it."""

    @property
    def info(self) -> ModelInfo:
        """Its entry among the models."""

    @property
    def name(self) -> str:
        """The name that users give: `info.name`, for example `nano`, `sam:vit_b`, `grabcut`."""

    @property
    def version(self) -> str:
        """The name and a hash of the weights; segmenters with equal versions give equal masks."""

    def encode(self, image: ImageArray) -> Embedding:
        """Encode an image: uint8 RGB (H, W, 3)."""

    def decode(
        self, embedding: Embedding, prompts: Sequence[Prompt], *, multimask: bool | None = None
    ) -> list[Candidates]:
        """Answer each prompt, in one batched call.

        `multimask` True asks for SAM's three masks, False for its single mask. None asks for three masks for an
        ambiguous prompt (a lone click) and for one otherwise, as SAM was trained.

        Raises
        ------
        BadRequestError
            If the model does not take such a prompt.
        """

    def features(self, embedding: Embedding) -> DenseFeatures:
        """Return the features in an embedding of this model; other arrays may lie beside its own.

        Raises
        ------
        BadRequestError
            If the model has no features (`ModelInfo.has_features`); `model_registry.no_features` makes it.
        """
