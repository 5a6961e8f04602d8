"""Masks -> maps in which a pixel has one class and one object."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sam_backend.samples import Cropped, Object
from sam_evaluation.datasets.tally import Tally
from sam_evaluation.errors import EvaluationError
from sam_evaluation.exports.writer import Classes, ExportedImage

CUT = "part of a mask under a smaller mask, as the format has one object a pixel"
COVERED = "mask that smaller masks cover whole, as the format has one object a pixel"


@dataclass(frozen=True, eq=False)
class LabelMap:
    """An image in which a pixel has one class and one object.

    Attributes
    ----------
    numbers : int32 (H, W), the number of each pixel's object, from 1; 0 is background.
    labels : int32 (H, W), the number of each pixel's class plus 1; 0 is background.
    objects : list of Object, what is seen of each; the first has the number 1.
    """

    numbers: NDArray[np.int32]
    labels: NDArray[np.int32]
    objects: list[Object]


def paint(image: ExportedImage, classes: Classes, tally: Tally, most_objects: int) -> LabelMap:
    """Paint the masks of an image, the largest first: of two masks that overlap, the smaller one is on top.

    Parameters
    ----------
    image : ExportedImage.
    classes : Classes, the numbers of the labels.
    tally : Tally, counts the masks that lose pixels, and those that are covered whole and left out.
    most_objects : int, the most objects that the format holds in an image.

    Raises
    ------
    EvaluationError
        If there are more objects.
    """
    objects = image.objects
    numbers = np.zeros(image.size, np.int32)
    for index in sorted(range(len(objects)), key=lambda index: -objects[index].cropped.area):
        mask = objects[index].cropped
        numbers[mask.place][mask.part] = index + 1
    seen = np.bincount(numbers.reshape(-1), minlength=len(objects) + 1)
    order, values, shown = np.zeros(len(objects) + 1, np.int32), [0], list[Object]()
    for number, target in enumerate(objects, 1):
        if not seen[number]:
            tally.leave_out(COVERED, f"a mask of {target.label} in {image.name}")
            continue
        if seen[number] < target.cropped.area:
            tally.leave_out(CUT, f"a mask of {target.label} in {image.name}")
            place, size = target.cropped.place, target.cropped.size
            part = Cropped.of_part(numbers[place] == number, target.cropped.corner, size)
            target = Object(part, target.label)
        shown.append(target)
        order[number] = len(shown)
        values.append(classes.number(target.label) + 1)
    if len(shown) > most_objects:
        raise EvaluationError(
            f"The image {image.name} has {len(shown):,} objects; the format holds {most_objects:,} in an image."
        )
    renumbered = order[numbers]
    return LabelMap(renumbered, np.array(values, np.int32)[renumbered], shown)
