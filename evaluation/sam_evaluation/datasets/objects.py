"""Semantic masks -> objects, as connected components."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from sam_backend.arrays import BoolArray
from sam_backend.samples import Cropped, Object
from sam_evaluation.datasets.pixel_values import distinct_values, value_name
from sam_evaluation.errors import BrokenSampleError


@dataclass(frozen=True)
class ObjectRule:
    """How a semantic mask becomes objects; every table states it.

    Attributes
    ----------
    connectivity : int, 8 or 4, the neighbours that join pixels into a component; 0 makes all pixels of a class one
        object.
    min_area : int, the least area of an object in pixels; smaller ones are left out.
    """

    connectivity: int = 8
    min_area: int = 20

    def __str__(self) -> str:
        parts = "classes whole" if not self.connectivity else f"components of {self.connectivity} neighbours"
        return f"{parts}, at least {self.min_area} px"


DEFAULT_RULE = ObjectRule()


def objects_of_mask(mask: BoolArray, label: str, rule: ObjectRule, annotator: int = 0) -> Iterator[Object]:
    """Yield the objects of one class, ordered by their topmost pixels.

    Parameters
    ----------
    mask : bool (H, W), all pixels of the class.
    label : str, the name of the class.
    rule : ObjectRule, what counts as one object.
    annotator : int, the number of the person who made the mask, from 0.
    """
    if not rule.connectivity:
        if mask.sum() >= max(rule.min_area, 1):
            yield Object(mask, label, annotator)
        return
    count, parts, stats, _ = cv2.connectedComponentsWithStats(
        np.ascontiguousarray(mask).view(np.uint8), connectivity=rule.connectivity
    )
    for index in range(1, count):
        x, y, width, height, area = stats[index].tolist()
        if area >= rule.min_area:
            part = parts[y : y + height, x : x + width] == index
            yield Object(Cropped(part, (y, x), mask.shape), label, annotator)


def objects_of_labels(labels: NDArray[np.integer], classes: Mapping[int, str], rule: ObjectRule) -> tuple[Object, ...]:
    """Return the objects of a label map.

    Parameters
    ----------
    labels : int (H, W), from `read_labels`; 0 is background.
    classes : Mapping, the name of each value above 0.
    rule : ObjectRule, what counts as one object.

    Raises
    ------
    BrokenSampleError
        If the map has a value that `classes` does not name.
    """
    objects: list[Object] = []
    for value in distinct_values(labels).tolist():
        if value <= 0:
            continue
        if value not in classes:
            known = ", ".join(f"{value_name(number)} {name}" for number, name in classes.items())
            raise BrokenSampleError(f"The mask holds the label {value_name(value)}; the known labels are {known}.")
        objects += objects_of_mask(labels == value, classes[value], rule)
    return tuple(objects)
