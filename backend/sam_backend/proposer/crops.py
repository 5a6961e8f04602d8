"""Training crops: parts of accepted images at the scale at which the proposer sees them, most around an object."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from sam_backend.arrays import ImageArray
from sam_backend.proposer.scale import ImageFacts
from sam_backend.samples import Sample

LabelMap = NDArray[np.uint8]
"""uint8 (H, W): 0 for the background, 1 + the index of the class elsewhere."""

_AROUND_OBJECT = 0.7
"""Share of the crops that show an object for sure; the rest is anywhere, so that the background is learnt."""

_BALANCE = 0.5
"""An object of a class is picked by the number of its objects to this power, so that a rare class is seen."""

_ZOOM = (0.85, 1.35)
_TURN = 15.0


@dataclass(frozen=True, eq=False)
class Crop:
    """What a training step sees.

    Attributes
    ----------
    image : uint8 RGB (S, S, 3).
    labels : LabelMap (S, S).
    """

    image: ImageArray
    labels: LabelMap


def label_map(sample: Sample, classes: Sequence[str]) -> LabelMap:
    """Return the label map of an image; where objects overlap, the smaller one counts."""
    painted = np.zeros(sample.image.shape[:2], np.uint8)
    known = [target for target in sample.objects if target.label in classes]
    for target in sorted(known, key=lambda target: -target.cropped.area):
        rows, columns = target.cropped.place
        painted[rows, columns][target.cropped.part] = 1 + classes.index(target.label)
    return painted


class CropSource:
    """Draws crops of images with their label maps; of a large project, not all images fit into memory at once.

    Parameters
    ----------
    images : ImageFacts of the images to learn from, at least one.
    load : function that returns an image by its place among them.
    classes : the classes.
    scale : float, the size of an image as the proposer sees it, divided by its own.
    side : int, S, the side of a crop.
    """

    def __init__(
        self,
        images: Sequence[ImageFacts],
        load: Callable[[int], Sample],
        classes: Sequence[str],
        scale: float,
        side: int,
    ) -> None:
        self._images, self._load, self._classes = images, load, classes
        self._scale, self._side = scale, side
        self._objects: list[tuple[int, int]] = []
        labels: list[str] = []
        for index, image in enumerate(images):
            for number, label in enumerate(image.labels):
                if label in classes:
                    self._objects.append((index, number))
                    labels.append(label)
        counts = Counter(labels)
        weights = np.array([counts[label] ** (_BALANCE - 1) for label in labels])
        self._weights = weights / max(weights.sum(), 1e-9)

    def draw(self, rng: Generator) -> Crop:
        """Return a random crop, mirrored, slightly turned, nearer or farther, in other light."""
        if self._objects and rng.random() < _AROUND_OBJECT:
            index, number = self._objects[rng.choice(len(self._objects), p=self._weights)]
            sample = self._load(index)
            shown = sample.objects[number].cropped
            pixels = np.argwhere(shown.part)
            row, column = pixels[rng.integers(len(pixels))] + shown.corner
        else:
            index = int(rng.integers(len(self._images)))
            sample = self._load(index)
            row, column = (rng.random(2) * self._images[index].size).astype(int)
        image, labels = sample.image, label_map(sample, self._classes)
        scale = self._scale * float(np.exp(rng.uniform(*np.log(_ZOOM))))
        centre = [
            _centre(float(place), length, self._side / scale, rng)
            for place, length in zip((column, row), image.shape[1::-1], strict=True)
        ]
        matrix = cv2.getRotationMatrix2D(centre, float(rng.uniform(-_TURN, _TURN)), scale)
        matrix[:, 2] += self._side / 2 - np.array(centre)
        if scale < 0.8:
            # Shrunk pixels are means of pixels; else thin things would come and go.
            image = cv2.blur(image, (max(1, round(1 / scale)),) * 2)
        size = (self._side, self._side)
        part = cv2.warpAffine(image, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
        target = cv2.warpAffine(labels, matrix, size, flags=cv2.INTER_NEAREST, borderMode=cv2.BORDER_REFLECT)
        for axis in (0, 1):
            if rng.random() < 0.5:
                part, target = np.flip(part, axis), np.flip(target, axis)
        contrast, light = rng.uniform(0.7, 1.3), rng.uniform(-25, 25)
        seen = np.clip((part.astype(np.float32) - 127) * contrast + 127 + light, 0, 255).astype(np.uint8)
        return Crop(seen, np.ascontiguousarray(target))


def _centre(place: float, length: int, span: float, rng: Generator) -> float:
    """Return the middle of a crop of `span` pixels that shows a place; of a short image, about all is shown."""
    if span >= length:
        return length / 2 + float(rng.uniform(-0.5, 0.5)) * (span - length) / 2
    wanted = place + float(rng.uniform(-0.4, 0.4)) * span
    return float(np.clip(wanted, span / 2, length - span / 2))
