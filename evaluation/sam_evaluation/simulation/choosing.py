"""The choice of the next images: a strategy orders some of the images that are not labelled yet."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sam_backend.memory.class_model import ClassModel
from sam_backend.memory.class_outlines import find_outlines
from sam_backend.memory.features import FeatureVectors
from sam_backend.memory.ranking.signals import Signals, compute_signals, example_descriptor, image_descriptor
from sam_backend.memory.ranking.strategies import find_strategy
from sam_backend.memory.score_calibration import ScoreCalibration
from sam_backend.segmenters import Segmenter
from sam_evaluation.errors import BrokenSampleError
from sam_evaluation.simulation.image_set import ImageSet

CANDIDATES_PER_IMAGE, _MIN_CANDIDATES = 4, 12
"""Candidates of a strategy for each image to choose, and at least; ranking all images would take hours."""

_WITHOUT_OUTLINES = frozenset({"diversity"})
"""Strategies that use the image descriptors alone, so that outlines need not be computed."""


def choose(
    strategy: str,
    size: int,
    remaining: Sequence[str],
    images: ImageSet,
    segmenter: Segmenter,
    classes: ClassModel | None,
    calibration: ScoreCalibration,
    examples: Sequence[FeatureVectors],
    random: np.random.Generator,
) -> tuple[str, ...]:
    """Return the names of the `size` images that a strategy labels next.

    Parameters
    ----------
    strategy : str, name of the strategy.
    size : number of images; all remaining ones if there are fewer.
    remaining : names of the images that are not labelled yet, in the order of the stream.
    images : ImageSet that holds them.
    segmenter : Segmenter.
    classes : ClassModel of the memory, or None before it has one.
    calibration : ScoreCalibration of the memory's scores.
    examples : vectors of the labelled images.
    random : Generator, the only source of randomness.
    """
    if len(remaining) <= size:
        return tuple(remaining)
    number = min(max(CANDIDATES_PER_IMAGE * size, _MIN_CANDIDATES), len(remaining))
    candidates = [remaining[index] for index in sorted(random.permutation(len(remaining))[:number].tolist())]
    names: list[str] = []
    signals: list[Signals] = []
    for name in candidates:
        try:
            embedding = images.embed(segmenter, name)
        except BrokenSampleError:
            continue
        names.append(name)
        if strategy in _WITHOUT_OUTLINES:
            signals.append(Signals(0.0, 0.0, 0.0, image_descriptor(segmenter.features(embedding).inside)))
            continue
        outlines = find_outlines(segmenter, embedding, classes) if classes else []
        signals.append(compute_signals(segmenter, embedding, classes, outlines, calibration))
    chosen: list[str] = []
    if names:
        descriptors = [example_descriptor(example) for example in examples]
        known = np.stack(descriptors) if descriptors else np.zeros((0, len(signals[0].descriptor)), np.float32)
        chosen = [names[index] for index in find_strategy(strategy)(signals, known, random)[:size]]
    # Images that cannot be read are chosen only if no others are left.
    return (*chosen, *[name for name in candidates if name not in chosen][: size - len(chosen)])
