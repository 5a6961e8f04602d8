"""Instance masks -> objects."""

from __future__ import annotations

from collections.abc import Iterable

from sam_backend.arrays import BoolArray
from sam_backend.samples import Object
from sam_evaluation.datasets.objects import ObjectRule


def objects_of_instances(instances: Iterable[tuple[BoolArray, str]], rule: ObjectRule) -> tuple[Object, ...]:
    """Return one object per instance, in the same order, also if its mask has several parts.

    Parameters
    ----------
    instances : pairs of a mask, bool (H, W), and its label.
    rule : ObjectRule, of which only `min_area` applies: the annotator has decided what one object is. Empty masks are
        left out.
    """
    least = max(rule.min_area, 1)
    return tuple(Object(mask, label) for mask, label in instances if mask.sum() >= least)
