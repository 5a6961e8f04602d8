"""Square windows of an image, resampled to the refiner's side and back."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from sam_backend.arrays import FloatArray
from sam_backend.segmenters.image_reader import ImageReader
from sam_backend.segmenters.refiner.guidance import WINDOW

_OUTSIDE = 127
_BLUR = 0.35


@dataclass(frozen=True)
class Square:
    """A square part of an image, which may reach beyond it.

    Attributes
    ----------
    left, top : float, its corner in pixels of the image.
    side : float, in pixels of the image.
    """

    left: float
    top: float
    side: float

    @property
    def scale(self) -> float:
        """Pixels of the window for a pixel of the image."""
        return WINDOW / self.side

    def pixels(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return an image uint8 (H, W, 3) in the window, (S, S, 3); grey outside the image."""
        return np.asarray(self._warp(image, (_OUTSIDE,) * 3), np.uint8)

    def read(self, image: ImageReader) -> NDArray[np.uint8]:
        """Return the window of an image as `pixels` does; only that part of it is read."""
        part = self._seen(image.size)
        return np.asarray(self._warp_part(image.part(part), part[:2], (_OUTSIDE,) * 3), np.uint8)

    def coverage(self, mask: NDArray[np.generic]) -> FloatArray:
        """Return a mask bool or a probability (H, W) in the window, float32 (S, S); 0 outside the image."""
        return np.clip(np.asarray(self._warp(mask, 0.0), np.float32), 0, 1)

    def to_window(self, points: FloatArray) -> FloatArray:
        """Return points (N, 2), xy of pixels of the image, as pixels of the window."""
        moved: FloatArray = (points + 0.5 - np.array([self.left, self.top])) * self.scale - 0.5
        return moved

    def to_image(self, values: FloatArray, part: tuple[int, int, int, int]) -> FloatArray:
        """Return values (S, S) of the window at the pixels of a part of the image, xyxy, half-open.

        Pixels outside the window get the value of its nearest pixel.
        """
        left, top, right, bottom = part
        scale = self.scale
        shift = [(edge + 0.5 - corner) * scale - 0.5 for edge, corner in ((left, self.left), (top, self.top))]
        inverse = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]], np.float64)
        size = (right - left, bottom - top)
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        return np.asarray(cv2.warpAffine(values, inverse, size, flags=flags, borderMode=cv2.BORDER_REPLICATE))

    def _seen(self, size: tuple[int, ...]) -> tuple[int, int, int, int]:
        """Return the part xyxy of an image of `size` (height, width) that the window needs."""
        margin = 4 + 2 / self.scale
        left, top = (max(0, int(edge - margin)) for edge in (self.left, self.top))
        right, bottom = (
            min(size[1], int(self.left + self.side + margin)),
            min(size[0], int(self.top + self.side + margin)),
        )
        return left, top, right, bottom

    def _warp(self, image: NDArray[np.generic], outside: float | tuple[int, ...]) -> NDArray[np.generic]:
        left, top, right, bottom = self._seen(image.shape)
        return self._warp_part(image[top:bottom, left:right], (left, top), outside)

    def _warp_part(
        self, part: NDArray[np.generic], corner: tuple[int, int], outside: float | tuple[int, ...]
    ) -> NDArray[np.generic]:
        if part.ndim == 2:
            part = part.astype(np.float32)
        scale = self.scale
        if scale < 0.75:
            part = cv2.GaussianBlur(part, (0, 0), _BLUR / scale)
        shift = [(edge - own + 0.5) * scale - 0.5 for edge, own in zip(corner, (self.left, self.top), strict=True)]
        forward = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]], np.float64)
        size = (WINDOW, WINDOW)
        warped: NDArray[np.generic] = cv2.warpAffine(part, forward, size, flags=cv2.INTER_LINEAR, borderValue=outside)
        return warped
