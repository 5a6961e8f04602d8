"""Instances as they were annotated -> objects."""

from __future__ import annotations

from collections.abc import Iterable

from sam_backend.arrays import BoolArray
from sam_backend.samples import Object
from sam_evaluation.datasets.objects import ObjectRule


def objects_of_instances(instances: Iterable[tuple[BoolArray, str]], rule: ObjectRule) -> tuple[Object, ...]:
    """Return one object an instance, in their order, of how many parts it may be.

    Parameters
    ----------
    instances : masks bool (H, W), each with its label.
    rule : only its `min_area` applies, since the annotator has said what one object is; empty masks never count.
    """
    least = max(rule.min_area, 1)
    return tuple(Object(mask, label) for mask, label in instances if mask.sum() >= least)
