"""Views: parts of an image too large to be seen at once, each read and encoded as an image of its own."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from sam_backend.arrays import BoolArray, FloatArray, ImageArray
from sam_backend.samples import Cropped
from sam_backend.segmenters.image_reader import ImageReader
from sam_backend.segmenters.protocol import POSITIVE, Embedding, Prompt, Window
from sam_backend.segmenters.windows import side_of, whole_image, window_around

LARGEST_SIDE = 2048
"""Most pixels of a view's longer side; a larger window is seen shrunk."""

_READ = 2
"""Sides of a view up to which a window is read at the image's own resolution before it is shrunk."""

_VIEW = "image.view"

_EDGE = 2
"""Pixels of a view at an inner edge that a mask does not reach unless it goes on beyond."""


@dataclass(frozen=True)
class View:
    """A part of an image, perhaps shrunk.

    Attributes
    ----------
    window : the part, xyxy in pixels of the image, half-open.
    image_size : (H, W) of the image in pixels.
    most : int, pixels of the view's longer side; where the window has more, it is shrunk by a power of two.
    """

    window: Window
    image_size: tuple[int, int]
    most: int = LARGEST_SIDE

    @classmethod
    def around(cls, region: FloatArray, image_size: tuple[int, int], most: int = LARGEST_SIDE) -> View:
        """Return the view around a region (4,), xyxy in pixels of the image; see `window_around`."""
        return cls(window_around(region, image_size), image_size, most)

    def grown(self) -> View:
        """Return a view of twice the side around this one."""
        return View.around(np.array(self.window, np.float32), self.image_size, self.most)

    @property
    def is_whole(self) -> bool:
        """Whether it shows all of the image."""
        return self.window == whole_image(self.image_size)

    @property
    def shrink(self) -> int:
        """Pixels of the image for a pixel of the view, a power of two."""
        return 1 << max(0, int(np.ceil(np.log2(side_of(self.window) / self.most))))

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels of the view."""
        left, top, right, bottom = self.window
        return -(-(bottom - top) // self.shrink), -(-(right - left) // self.shrink)

    def read(self, reader: ImageReader) -> ImageArray:
        """Return the pixels of the view, uint8 RGB (h, w, 3)."""
        if self.shrink == 1:
            return np.ascontiguousarray(reader.part(self.window))
        if side_of(self.window) <= _READ * self.most:
            pixels = reader.part(self.window)
        else:
            shrunk = reader.shrunk(-(-max(self.image_size) // self.shrink))
            scale = np.tile(np.array(shrunk.shape[1::-1]) / self.image_size[::-1], 2)
            left, top, right, bottom = np.round(np.array(self.window) * scale).astype(int).tolist()
            pixels = shrunk[top:bottom, left:right]
        return np.asarray(cv2.resize(pixels, self.size[::-1], interpolation=cv2.INTER_AREA), np.uint8)

    def points(self, points: FloatArray) -> FloatArray:
        """Return points (N, 2), xy in pixels of the image, in pixels of the view."""
        moved: FloatArray = ((points - np.array(self.window[:2], np.float32)) / self.shrink).astype(np.float32)
        return moved

    def prompt(self, prompt: Prompt) -> Prompt:
        """Return a prompt in pixels of the image in pixels of the view, without negative points outside it.

        Its positive points and its box must lie in the view.
        """
        low, high = np.array(self.window[:2]), np.array(self.window[2:])
        kept = (prompt.labels == POSITIVE) | ((prompt.points >= low) & (prompt.points < high)).all(1)
        box = None if prompt.box is None else self.points(prompt.box.reshape(2, 2)).ravel()
        drawn = None if prompt.drawn is None else Cropped.of(self.seen(prompt.drawn))
        return replace(
            prompt, points=self.points(prompt.points[kept]), labels=prompt.labels[kept], box=box, drawn=drawn
        )

    def cuts(self, mask: BoolArray) -> bool:
        """Return whether a mask (h, w) of the view reaches an edge beyond which the image goes on."""
        left, top, right, bottom = self.window
        height, width = self.image_size
        edges = (
            (left > 0, mask[:, :_EDGE]),
            (top > 0, mask[:_EDGE]),
            (right < width, mask[:, -_EDGE:]),
            (bottom < height, mask[-_EDGE:]),
        )
        return any(inner and bool(strip.any()) for inner, strip in edges)

    def part_of(self, embedding: Embedding) -> Embedding:
        """Return the embedding of the view, marked so that `view_of` finds the view."""
        marks = np.array([*self.window, *self.image_size, self.most])
        return Embedding({**embedding.arrays, _VIEW: marks}, embedding.size)

    def placed(self, mask: BoolArray) -> Cropped:
        """Return a mask (h, w) of the view as a mask of the image."""
        local = Cropped.of(mask)
        left, top, right, bottom = self.window
        row, column = local.corner
        if self.shrink == 1 or not local.part.size:
            return Cropped(local.part, (top + row, left + column), self.image_size)
        # Half a pixel of the view around the part lets the mask's edge run between its pixels.
        padded = np.pad(local.part, 1).astype(np.uint8) * 255
        size = padded.shape[1] * self.shrink, padded.shape[0] * self.shrink
        inside = cv2.resize(padded, size, interpolation=cv2.INTER_LINEAR)
        inside = np.greater(inside, 127, out=inside.view(np.bool_))
        corner = top + (row - 1) * self.shrink, left + (column - 1) * self.shrink
        cut = np.s_[max(top - corner[0], 0) : bottom - corner[0], max(left - corner[1], 0) : right - corner[1]]
        return Cropped.of_part(inside[cut], (max(corner[0], top), max(corner[1], left)), self.image_size)

    def seen(self, mask: Cropped) -> BoolArray:
        """Return what the view shows of a mask of the image, bool (h, w): the pixels at the centres of its own."""
        shown = np.zeros(self.size, np.bool_)
        centres = [
            corner + np.arange(length) * self.shrink + self.shrink // 2 - start
            for corner, length, start in zip(self.window[1::-1], self.size, mask.corner, strict=True)
        ]
        inside = [(place >= 0) & (place < side) for place, side in zip(centres, mask.part.shape, strict=True)]
        in_part = (place[kept] for place, kept in zip(centres, inside, strict=True))
        shown[np.ix_(*inside)] = mask.part[np.ix_(*in_part)]
        return shown


def view_of(embedding: Embedding) -> View | None:
    """Return the view of which an embedding shows the image; None where it shows all of it, see `View.part_of`."""
    if _VIEW not in embedding.arrays:
        return None
    left, top, right, bottom, height, width, most = (int(mark) for mark in embedding.arrays[_VIEW])
    return View((left, top, right, bottom), (height, width), most)
