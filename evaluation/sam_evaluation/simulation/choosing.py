"""What is labelled next: a strategy's choice among some of the images that are left."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sam_backend.memory.calibration import Calibration
from sam_backend.memory.features import Vectors
from sam_backend.memory.proposals import find
from sam_backend.memory.ranking.signals import Signals, look_of_example, signals_of
from sam_backend.memory.ranking.strategies import find_strategy
from sam_backend.memory.similarity import ClassModel
from sam_backend.segmenters import Segmenter
from sam_evaluation.errors import BrokenSampleError
from sam_evaluation.simulation.images import ImageSet

CHOICES, _FEWEST = 4, 12
"""Images that a strategy looks at for one that it chooses, and at least: looking at all would take hours."""

_BY_LOOKS = frozenset({"diversity"})
"""Strategies that ask for nothing but looks: what the memory finds need not be found for them."""


def choose(
    strategy: str,
    size: int,
    left: Sequence[str],
    images: ImageSet,
    segmenter: Segmenter,
    classes: ClassModel | None,
    trust: Calibration,
    labelled: Sequence[Vectors],
    random: np.random.Generator,
) -> tuple[str, ...]:
    """Return the `size` images that a strategy labels next.

    Parameters
    ----------
    strategy : by name.
    size : how many, or all that are left where they are fewer.
    left : images that are not labelled yet, in the order of the stream.
    images : they are of.
    segmenter, classes, trust : what looks at them.
    labelled : the examples there are.
    random : all randomness comes from it.
    """
    if len(left) <= size:
        return tuple(left)
    looked_at = min(max(CHOICES * size, _FEWEST), len(left))
    drawn = [left[index] for index in sorted(random.permutation(len(left))[:looked_at].tolist())]
    names: list[str] = []
    signals: list[Signals] = []
    for name in drawn:
        try:
            embedding = images.embed(segmenter, name)
        except BrokenSampleError:
            continue
        outlines = find(segmenter, embedding, classes) if classes and strategy not in _BY_LOOKS else []
        names.append(name)
        signals.append(signals_of(segmenter, embedding, outlines, trust))
    chosen: list[str] = []
    if names:
        looks = [look_of_example(each) for each in labelled]
        known = np.stack(looks) if looks else np.zeros((0, len(signals[0].look)), np.float32)
        chosen = [names[index] for index in find_strategy(strategy)(signals, known, random)[:size]]
    # What cannot be read has its turn where nothing else is left to choose.
    return (*chosen, *[name for name in drawn if name not in chosen][: size - len(chosen)])
