"""Instances as they were annotated -> objects."""

from __future__ import annotations

from collections.abc import Iterable

from sam_evaluation.datasets.objects import ObjectRule
from sam_evaluation.datasets.sample import Mask, Object


def objects_of_instances(instances: Iterable[tuple[Mask, str]], rule: ObjectRule) -> tuple[Object, ...]:
    """Return one object an instance, in their order, of how many parts it may be.

    Parameters
    ----------
    instances : masks bool (H, W), each with its label.
    rule : only its `min_area` applies, since the annotator has said what one object is; empty masks never count.
    """
    least = max(rule.min_area, 1)
    return tuple(Object(mask, label) for mask, label in instances if mask.sum() >= least)
