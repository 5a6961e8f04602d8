"""Masks that are drawn when they are asked for: of several candidates, most never are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from sam_backend.arrays import BoolArray
from sam_backend.samples import Cropped


class MaskStack(Sequence[BoolArray]):
    """Masks (K, H, W) of an image, as far as they are needed.

    Parameters
    ----------
    count : int, the number K.
    size : (H, W) of the image in pixels.
    draw : function that returns the mask of an index inside its box; called once for each index at most.
    """

    dtype = np.dtype(np.bool_)

    def __init__(self, count: int, size: tuple[int, int], draw: Callable[[int], Cropped]) -> None:
        self._draw = draw
        self._drawn: dict[int, Cropped] = {}
        self.shape = (count, *size)

    def __len__(self) -> int:
        return self.shape[0]

    @overload
    def __getitem__(self, index: int) -> BoolArray: ...
    @overload
    def __getitem__(self, index: slice) -> MaskStack: ...
    def __getitem__(self, index: int | slice) -> BoolArray | MaskStack:
        if isinstance(index, slice):
            chosen = range(len(self))[index]
            return MaskStack(len(chosen), self.shape[1:], lambda place: self.crop(chosen[place]))
        return self.crop(range(len(self))[index]).mask

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        whole = np.zeros(self.shape, np.bool_)
        for index in range(len(self)):
            crop = self.crop(index)
            whole[(index, *crop.place)] = crop.part
        return whole if dtype is None else whole.astype(dtype)

    def crop(self, index: int) -> Cropped:
        """Return a mask inside its box."""
        if index not in self._drawn:
            self._drawn[index] = self._draw(index)
        return self._drawn[index]

    def placed(self, corner: tuple[int, int], size: tuple[int, int]) -> MaskStack:
        """Return the same masks in a larger image.

        Parameters
        ----------
        corner : (row, column) of this image's first pixel in the larger one.
        size : (H, W) of the larger one in pixels.
        """

        def draw(index: int) -> Cropped:
            crop = self.crop(index)
            return Cropped(crop.part, (crop.corner[0] + corner[0], crop.corner[1] + corner[1]), size)

        return MaskStack(len(self), size, draw)

    @classmethod
    def of(cls, masks: BoolArray | MaskStack) -> MaskStack:
        """Return the stack of masks (K, H, W) that are there."""
        if isinstance(masks, MaskStack):
            return masks
        height, width = masks.shape[1:]
        return cls(len(masks), (height, width), lambda index: Cropped.of(masks[index]))
