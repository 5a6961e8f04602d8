"""The quality of labelled proposals in images: which objects they find, by size, and how many are false."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from sam_backend.arrays import BoolArray
from sam_backend.samples import Sample
from sam_evaluation.metrics import Floats, expected_calibration_error, match, pairwise_iou
from sam_evaluation.statistics import interval, resample
from sam_evaluation.summary_tables import SIZES, sizes_of

CORRECT_IOU = 0.5
"""IoU with an object of the same label from which a proposal is correct."""

LabelledMask = tuple[BoolArray, str, float]
"""A proposal: mask bool (H, W), label, and score in [0, 1]."""

Propose = Callable[[Sample], Sequence[LabelledMask]]
"""A function that returns the proposals for an image."""


@dataclass(frozen=True)
class ImageProposals:
    """What the proposals for one image are worth.

    Attributes
    ----------
    areas : tuple of int, the pixels of each object.
    ious : tuple of float, the IoU of each object with its proposal; 0 where it has none that is correct.
    scores : tuple of float, the score of each proposal.
    correct : tuple of bool, whether each proposal is correct; each object makes one correct at most.
    shared, united : dict, label -> pixels that truth and proposals share and have together.
    """

    areas: tuple[int, ...]
    ious: tuple[float, ...]
    scores: tuple[float, ...]
    correct: tuple[bool, ...]
    shared: dict[str, int] = field(default_factory=dict)
    united: dict[str, int] = field(default_factory=dict)

    @property
    def false(self) -> int:
        """The number of proposals that are not correct."""
        return self.correct.count(False)


def rate_proposals(sample: Sample, proposals: Sequence[LabelledMask]) -> ImageProposals:
    """Compare the proposals for an image with its objects; the labels must be the same."""
    objects = [(target.mask, target.label) for target in sample.objects]
    ious, correct = [0.0] * len(objects), [False] * len(proposals)
    shared, united = {}, {}
    for label in sorted({label for _, label in objects} | {label for _, label, _ in proposals}):
        truths = [index for index, (_, name) in enumerate(objects) if name == label]
        own = [index for index, (_, name, _) in enumerate(proposals) if name == label]
        pairs = match(pairwise_iou([proposals[i][0] for i in own], [objects[i][0] for i in truths]), CORRECT_IOU)
        for row, column, iou in zip(pairs.pred, pairs.gt, pairs.iou, strict=True):
            correct[own[row]], ious[truths[column]] = True, float(iou)
        drawn = _union(sample, [objects[index][0] for index in truths])
        painted = _union(sample, [proposals[index][0] for index in own])
        shared[label] = int(np.count_nonzero(drawn & painted))
        united[label] = int(np.count_nonzero(drawn | painted))
    areas = tuple(target.cropped.area for target in sample.objects)
    scores = tuple(score for _, _, score in proposals)
    return ImageProposals(areas, tuple(ious), scores, tuple(correct), shared, united)


def _union(sample: Sample, masks: Iterable[BoolArray]) -> BoolArray:
    whole = np.zeros(sample.image.shape[:2], bool)
    for mask in masks:
        whole |= mask
    return whole


@dataclass(frozen=True)
class ProposalQuality:
    """The quality of proposals for some images.

    Attributes
    ----------
    images : sequence of ImageProposals.
    """

    images: Sequence[ImageProposals]

    @property
    def recall(self) -> float:
        """The share of the objects that have a correct proposal; NaN without objects."""
        found = self._found
        return float(found.mean()) if len(found) else float("nan")

    @property
    def recall_by_size(self) -> dict[str, tuple[float, int]]:
        """Recall and number of the objects of each of `SIZES` that occurs."""
        sizes, found = sizes_of([area for image in self.images for area in image.areas]), self._found
        return {
            name: (float(found[sizes == index].mean()), int((sizes == index).sum()))
            for index, name in enumerate(SIZES)
            if (sizes == index).any()
        }

    @property
    def _found(self) -> NDArray[np.bool_]:
        return np.array([iou > 0 for image in self.images for iou in image.ious], bool)

    @property
    def false_per_image(self) -> float:
        """The mean number of false proposals in an image."""
        return float(np.mean([image.false for image in self.images])) if self.images else float("nan")

    @property
    def pixel_iou(self) -> dict[str, float]:
        """The IoU of each label over the pixels of all images."""
        labels = sorted({label for image in self.images for label in image.united})
        sums = {
            label: [sum(counts(image).get(label, 0) for image in self.images) for counts in (_shared, _united)]
            for label in labels
        }
        return {label: shared / max(united, 1) for label, (shared, united) in sums.items()}

    @property
    def calibration_error(self) -> float:
        """The expected calibration error of the scores; NaN without proposals."""
        scores = [score for image in self.images for score in image.scores]
        right = [value for image in self.images for value in image.correct]
        return float(expected_calibration_error(scores, right)) if scores else float("nan")

    @property
    def panoptic(self) -> float:
        """The panoptic quality; see `panoptic_sums`. NaN without objects and proposals."""
        sums, counts = (np.sum(part) for part in zip(*map(panoptic_sums, self.images), strict=True))
        return float(sums / counts) if counts else float("nan")


def panoptic_sums(image: ImageProposals) -> tuple[float, float]:
    """Return numerator and denominator of the panoptic quality of an image.

    The sum of the IoU of all correct proposals, and their number plus half of the false proposals and of the objects
    that are not found.

    References
    ----------
    Kirillov et al., Panoptic Segmentation, CVPR 2019.
    """
    found = sum(iou > 0 for iou in image.ious)
    return sum(image.ious), found + (image.false + len(image.ious) - found) / 2


def panoptic_gain(before: Sequence[ImageProposals], after: Sequence[ImageProposals]) -> tuple[float, float, float]:
    """Return the difference of the panoptic quality on the same images, and the ends of its 95 % interval."""
    rows = [[panoptic_sums(image) for image in images] for images in (before, after)]
    table: Floats = np.array(rows, np.float64).transpose(1, 0, 2)
    sums, counts = table[..., 0], table[..., 1]
    replicates = resample(sums, counts)
    low, high = interval((replicates[:, 1] - replicates[:, 0])[:, None])
    values = sums.sum(0) / counts.sum(0)
    return float(values[1] - values[0]), float(low[0]), float(high[0])


def _shared(image: ImageProposals) -> dict[str, int]:
    return image.shared


def _united(image: ImageProposals) -> dict[str, int]:
    return image.united
