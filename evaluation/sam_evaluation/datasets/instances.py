"""Instance masks, and maps of their numbers -> objects."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sam_backend.arrays import BoolArray
from sam_backend.samples import Object
from sam_evaluation.datasets.objects import ObjectRule
from sam_evaluation.datasets.tally import OddShapeError, Tally

UNDER_MIN_AREA = "object smaller than the smallest area"
"""The reason that is the object rule's own, and no fault: it is in `left_out.csv`, but it is not printed."""

EMPTY = "mask or outline without any pixel of the image"


def objects_of_instances(
    instances: Iterable[tuple[BoolArray, str]], rule: ObjectRule, tally: Tally | None = None
) -> tuple[Object, ...]:
    """Return one object per instance, in the same order, also if its mask has several parts.

    Parameters
    ----------
    instances : pairs of a mask, bool (H, W), and its label.
    rule : ObjectRule, of which only `min_area` applies: the annotator has decided what one object is. Empty masks are
        left out.
    tally : Tally that counts the instances that are left out.
    """
    tally = tally or Tally()
    objects = []
    for mask, label in instances:
        area = int(np.count_nonzero(mask))
        if not area:
            tally.leave_out(EMPTY, f"of the class {label}")
            continue
        tally.used += 1
        if area < rule.min_area:
            tally.leave_out(UNDER_MIN_AREA)
        else:
            objects.append(Object(mask, label))
    return tuple(objects)


def numbered_instances(
    numbers: NDArray[np.integer], labels: NDArray[np.integer], classes: Mapping[int, str], path: Path, tally: Tally
) -> Iterator[tuple[BoolArray, str]]:
    """Yield the mask and the label of each instance.

    Parameters
    ----------
    numbers : int (H, W), the number of each pixel's instance; 0 is background.
    labels : int (H, W), the value of each pixel's class.
    classes : Mapping, the name of each value.
    path : Path of `numbers`, for sentences.
    tally : Tally that counts the instances without a class.
    """
    for number in np.unique(numbers[numbers > 0]).tolist():
        mask = numbers == number
        values, counts = np.unique(labels[mask], return_counts=True)
        # The class of most of its pixels: in exports, instances and classes can differ by a pixel along the void.
        value = int(values[np.argmax(counts)])
        if value not in classes:
            detail = f"Object {number} of {path} has the label {value}, which is not the value of a class."
            tally.odd(OddShapeError("object without a class in the label map", detail), f"object {number}")
            continue
        yield mask, classes[value]
