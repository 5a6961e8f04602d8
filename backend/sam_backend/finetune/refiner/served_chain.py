"""One object that is corrected click by click exactly as serving corrects it: window, merging, and what clicks fix."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from sam_backend.arrays import BoolArray, FloatArray, ImageArray
from sam_backend.masks import mask_box, mask_depths
from sam_backend.segmenters.image_reader import PixelReader
from sam_backend.segmenters.refiner.merging import Part, keep_clicks, merge
from sam_backend.segmenters.refiner.placing import place
from sam_backend.segmenters.refiner.refiner import Refiner, View
from sam_backend.segmenters.refiner.resampling import Square


class ServedChain:
    """An object, its present mask, and the clicks so far.

    Parameters
    ----------
    image : uint8 RGB (H, W, 3).
    target : bool (H, W), the accepted mask.
    mask : bool (H, W), the first answer.
    clicks : (N, 2) float32 xy in pixels, the positive clicks that led to the first answer; none for a box.
    """

    def __init__(self, image: ImageArray, target: BoolArray, mask: BoolArray, clicks: FloatArray) -> None:
        self._target, self.mask = target, mask.copy()
        self._image = PixelReader(np.ascontiguousarray(image))
        self.points: FloatArray = np.asarray(clicks, np.float32).reshape(-1, 2)
        self.labels: NDArray[np.int64] = np.ones(len(self.points), np.int64)
        self._square: Square | None = None

    def click(self, rng: Generator) -> bool:
        """Let the annotator click into what is deepest wrong; return whether anything is wrong."""
        click = correcting_click(rng, self.mask, self._target)
        if click is None:
            return False
        self.points = np.concatenate([self.points, np.array([click[0]], np.float32)])
        self.labels = np.append(self.labels, click[1])
        return True

    def view(self, refiner: Refiner) -> tuple[View, BoolArray]:
        """Return what the head sees of the newest click, and the target (S, S) in its window."""
        self._square = place(self.mask, mask_box(self.mask), self.points, self.points[-1])
        view = refiner.view(self._image, self._square, self.mask, self.points, self.labels)
        return view, self._square.coverage(self._target) > 0.5

    def answer(self, logits: FloatArray) -> None:
        """Take in the head's logits (S, S) of the last view."""
        assert self._square is not None
        part = Part.of(self._square, self.mask.shape)
        merge(self.mask, part, self._square.to_image(logits, part.box), self.points, self.labels)
        keep_clicks(self.mask, self.points, self.labels)


def correcting_click(rng: Generator, mask: BoolArray, target: BoolArray) -> tuple[tuple[int, int], int] | None:
    """Return a click xy deep inside what is wrong, and its label; None where nothing is wrong.

    Half of the clicks go to the deepest pixels, as `sam_evaluation.protocols` simulates; the others are less exact.
    """
    best: tuple[float, FloatArray, tuple[int, int], int] | None = None
    for wrong, label in ((target & ~mask, 1), (mask & ~target, 0)):
        depths = mask_depths(wrong)
        if depths is not None and (best is None or depths[0].max() > best[0]):
            best = float(depths[0].max()), depths[0], depths[1], label
    if best is None:
        return None
    deepest, distance, (left, top), label = best
    rows, columns = np.nonzero(distance >= (0.5 if rng.random() < 0.5 else 0.999) * deepest)
    pixel = int(rng.integers(len(rows)))
    return (left + int(columns[pixel]), top + int(rows[pixel])), label
