"""Trackers measured on annotated videos, as DAVIS's semi-supervised track: the masks of the first frame are given."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sam_backend.arrays import BoolArray
from sam_backend.progress import ProgressCallback
from sam_backend.segmenters.protocol import Prompt
from sam_backend.segmenters.tracking import Tracker
from sam_evaluation.datasets.davis import VOID, Sequence
from sam_evaluation.metrics.detection import pairwise_iou
from sam_evaluation.metrics.video import identity_switches, region_and_boundary


@dataclass(frozen=True)
class FollowedObject:
    """How well an object was followed.

    Attributes
    ----------
    sequence : str, its name.
    number : int, the object's.
    region, boundary : float, J and F, means over the frames but the first and the last.
    """

    sequence: str
    number: int
    region: float
    boundary: float


@dataclass(frozen=True)
class VideoScores:
    """What a tracker reached.

    Attributes
    ----------
    objects : tuple of FollowedObject, of all sequences.
    switches : mapping, name of a sequence -> switches of identity.
    """

    objects: tuple[FollowedObject, ...]
    switches: dict[str, int]

    @property
    def region(self) -> float:
        """J, the mean over all objects."""
        return float(np.mean([one.region for one in self.objects]))

    @property
    def boundary(self) -> float:
        """F, the mean over all objects."""
        return float(np.mean([one.boundary for one in self.objects]))


def evaluate_tracker(tracker: Tracker, sequences: Iterable[Sequence], progress: ProgressCallback) -> VideoScores:
    """Follow the objects of the first frame of each sequence; errors as of `Sequence`."""
    sequences = list(sequences)
    total, done = sum(len(sequence.images) for sequence in sequences), 0
    objects: list[FollowedObject] = []
    switches: dict[str, int] = {}
    for sequence in sequences:
        numbers = list(sequence.objects())
        scores: list[list[tuple[float, float]]] = []
        ious = []
        for masks, labels in _followed(tracker, sequence):
            progress(done, total, sequence.name)
            done += 1
            truth = [labels == number for number in numbers]
            void = labels == VOID
            scores.append(
                [region_and_boundary(masks[number], mask, void) for number, mask in zip(numbers, truth, strict=True)]
            )
            ious.append(pairwise_iou((masks[number] for number in numbers), truth))
        # DAVIS leaves out the frame that is given, and the last one; a clip of two frames has nothing else.
        counted = np.array(scores[1:-1] or scores[1:] or scores)
        for column, number in enumerate(numbers):
            region, boundary = counted[:, column].mean(0).tolist()
            objects.append(FollowedObject(sequence.name, number, region, boundary))
        switches[sequence.name] = identity_switches(ious)
    progress(total, total)
    return VideoScores(tuple(objects), switches)


def _followed(tracker: Tracker, sequence: Sequence) -> Iterator[tuple[dict[int, BoolArray], NDArray[np.uint8]]]:
    """Yield the masks of the objects in each frame, and its label map."""
    session = tracker.start()
    prompts = {number: Prompt(mask=mask) for number, mask in sequence.objects().items()}
    for index, (image, labels) in enumerate(sequence.frames()):
        found = session.step(image, prompts if index == 0 else {})
        yield {number: one.mask.mask for number, one in found.items()}, labels
