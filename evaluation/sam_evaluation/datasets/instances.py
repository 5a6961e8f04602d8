"""Instance masks -> objects."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from sam_backend.arrays import BoolArray
from sam_backend.samples import Object
from sam_evaluation.datasets.objects import ObjectRule
from sam_evaluation.datasets.tally import Tally

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
