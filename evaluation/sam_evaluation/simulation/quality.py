"""How good the memory and the model are on images that are never labelled."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sam_backend.memory.calibration import on_grid
from sam_backend.memory.proposals import class_map
from sam_backend.memory.similarity import ClassModel
from sam_backend.segmenters import Segmenter
from sam_evaluation import metrics
from sam_evaluation.errors import BrokenSampleError
from sam_evaluation.protocols.named_protocols import parse_protocols
from sam_evaluation.simulation.images import ImageSet

_PROMPTS = "box,click"


class Yardstick:
    """Images that are measured again and again; those that cannot be read are left out.

    Parameters
    ----------
    images : the data set's side that is measured.
    names : of the images.
    """

    def __init__(self, images: ImageSet, names: Sequence[str]) -> None:
        self._images = images
        self._names: list[str] = []
        labels: set[str] = set()
        for name in names:
            try:
                labels |= {thing.label for thing in images.load(name).objects}
            except BrokenSampleError:
                continue
            self._names.append(name)
        self._labels = sorted(labels)
        self._truths = {name: self._truth(name) for name in self._names}

    def pixel_iou(self, segmenter: Segmenter, classes: ClassModel | None) -> dict[str, float]:
        """Return the IoU of each class of the images with where it is the memory's likeliest.

        Over all images together, on the grid that the memory works on, whose longer side is as long as the image's.
        Without classes everything is taken for background.
        """
        shared = np.zeros(len(self._labels))
        united = np.zeros(len(self._labels))
        for name in self._names:
            painted = np.zeros_like(self._truths[name])
            if classes is not None:
                shares, (rows, columns) = class_map(segmenter, self._images.embed(segmenter, name), classes)
                numbers = [0, *(self._number(label) for label in classes.labels)]
                painted[:rows, :columns] = np.array(numbers)[shares.argmax(2)][:rows, :columns]
            for index in range(len(self._labels)):
                a, b = painted == index + 1, self._truths[name] == index + 1
                shared[index] += np.count_nonzero(a & b)
                united[index] += np.count_nonzero(a | b)
        return dict(zip(self._labels, (shared / np.maximum(united, 1)).tolist(), strict=True))

    def prompt_iou(self, segmenter: Segmenter) -> dict[str, float]:
        """Return the mean IoU over all objects of what the segmenter answers to a tight box and to a click."""
        ious: dict[str, list[float]] = {}
        for name in self._names:
            objects = self._images.load(name).objects
            embedding = self._images.embed(segmenter, name)
            for protocol in parse_protocols(_PROMPTS):
                assert protocol is not None
                ious.setdefault(protocol.name, []).extend(
                    metrics.iou(answer.candidates.masks[answer.chosen], objects[answer.object].mask)
                    for answer in protocol.run(segmenter, embedding, objects, np.random.default_rng(0))
                )
        return {name: float(np.mean(values)) if values else 0.0 for name, values in ious.items()}

    def _number(self, label: str) -> int:
        # A class that no measured image shows is wrong wherever it is seen, and counts as background.
        return 1 + self._labels.index(label) if label in self._labels else 0

    def _truth(self, name: str) -> NDArray[np.int64]:
        found: NDArray[np.int64] | None = None
        for thing in self._images.load(name).objects:
            part = on_grid(thing.mask)
            found = np.zeros(part.shape, np.int64) if found is None else found
            found[part] = self._number(thing.label)
        return on_grid(np.zeros((1, 1), bool)).astype(np.int64) if found is None else found
