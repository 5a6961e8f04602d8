"""The quality of the memory and of the model, measured on images that are never labelled."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sam_backend.memory.class_model import ClassModel
from sam_backend.memory.class_outlines import class_map
from sam_backend.memory.grid import on_grid
from sam_backend.segmenters import Segmenter
from sam_evaluation import metrics
from sam_evaluation.errors import BrokenSampleError
from sam_evaluation.protocols.named_protocols import OncePrompted, parse_protocols
from sam_evaluation.simulation.image_set import ImageSet

_PROTOCOLS = "box,click"


class HeldOutImages:
    """Images that are measured again and again; images that cannot be read are left out.

    Parameters
    ----------
    images : ImageSet of the measured side of the data set.
    names : names of the images.
    """

    def __init__(self, images: ImageSet, names: Sequence[str]) -> None:
        self._images = images
        self._names: list[str] = []
        labels: set[str] = set()
        for name in names:
            try:
                labels |= {target.label for target in images.load(name).objects}
            except BrokenSampleError:
                continue
            self._names.append(name)
        self._labels = sorted(labels)
        self._label_maps = {name: self._label_map(name) for name in self._names}

    def pixel_iou(self, segmenter: Segmenter, classes: ClassModel | None) -> dict[str, float]:
        """Return the IoU of each class between the true label map and the likeliest class of the memory.

        The pixels of all images are counted together, on the grid of the memory, whose longer side is the image's.
        Without classes every pixel counts as background.
        """
        intersections = np.zeros(len(self._labels))
        unions = np.zeros(len(self._labels))
        for name in self._names:
            predicted = np.zeros_like(self._label_maps[name])
            if classes is not None:
                shares, (rows, columns) = class_map(segmenter, self._images.embed(segmenter, name), classes)
                numbers = [0, *(self._number(label) for label in classes.labels)]
                predicted[:rows, :columns] = np.array(numbers)[shares.argmax(2)][:rows, :columns]
            for index in range(len(self._labels)):
                a, b = predicted == index + 1, self._label_maps[name] == index + 1
                intersections[index] += np.count_nonzero(a & b)
                unions[index] += np.count_nonzero(a | b)
        return dict(zip(self._labels, (intersections / np.maximum(unions, 1)).tolist(), strict=True))

    def prompt_iou(self, segmenter: Segmenter) -> dict[str, float]:
        """Return the mean IoU, over all objects, of the segmenter's answers to a tight box and to a click."""
        ious: dict[str, list[float]] = {}
        for name in self._names:
            objects = self._images.load(name).objects
            embedding = self._images.embed(segmenter, name)
            for protocol in parse_protocols(_PROTOCOLS):
                assert isinstance(protocol, OncePrompted)
                ious.setdefault(protocol.name, []).extend(
                    metrics.iou(answer.candidates.masks[answer.chosen], objects[answer.object].mask)
                    for answer in protocol.run(segmenter, embedding, objects, np.random.default_rng(0))
                )
        return {name: float(np.mean(values)) if values else 0.0 for name, values in ious.items()}

    def _number(self, label: str) -> int:
        # A class that no measured image shows is an error everywhere, and counts as background.
        return 1 + self._labels.index(label) if label in self._labels else 0

    def _label_map(self, name: str) -> NDArray[np.int64]:
        label_map: NDArray[np.int64] | None = None
        for target in self._images.load(name).objects:
            mask = on_grid(target.mask)
            label_map = np.zeros(mask.shape, np.int64) if label_map is None else label_map
            label_map[mask] = self._number(target.label)
        return on_grid(np.zeros((1, 1), bool)).astype(np.int64) if label_map is None else label_map
