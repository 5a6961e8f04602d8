"""What became of a prediction in the annotation that was begun with it, region by region."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from sam_backend.errors import BrokenSampleError
from sam_backend.labelstudio.accepted_masks import ImageRegions
from sam_backend.labelstudio.region_masks import Region

LEAST_IOU = 0.1
"""IoU from which regions without a common id are taken for the same."""


class Outcome(StrEnum):
    """What became of a region. The first four are of predicted regions, the last of one that was not predicted."""

    UNCHANGED = "unchanged"
    MOVED = "moved"
    RELABELLED = "relabelled"
    DELETED = "deleted"
    ADDED = "added"


@dataclass(frozen=True, eq=False)
class RegionChange:
    """A region that was predicted, accepted, or both.

    Attributes
    ----------
    predicted, accepted : Region or None.
    matched : str, how the two were paired: "id" or "overlap"; "" for one alone.
    """

    predicted: Region | None
    accepted: Region | None
    matched: str = ""

    @property
    def iou(self) -> float | None:
        """The IoU of the two; None for one alone."""
        return self.predicted.cropped.iou(self.accepted.cropped) if self.predicted and self.accepted else None

    @property
    def outcome(self) -> Outcome:
        """Unchanged if all pixels and the label are the same, relabelled if the label alone differs, else moved."""
        if not (self.predicted and self.accepted):
            return Outcome.DELETED if self.predicted else Outcome.ADDED
        if self.iou != 1:
            return Outcome.MOVED
        return Outcome.UNCHANGED if self.predicted.label == self.accepted.label else Outcome.RELABELLED


def region_changes(predicted: Sequence[ImageRegions], accepted: Sequence[ImageRegions]) -> Iterator[RegionChange]:
    """Compare a prediction with an annotation, image by image: the predicted regions, then the added ones.

    A predicted region is paired with the accepted region of the same id, or else with one that overlaps it on the same
    image: one to one, as many as possible with an IoU of `LEAST_IOU`, then with the greatest sum. Empty masks do not
    count.

    Raises
    ------
    BrokenSampleError
        If a region cannot be read, or the regions of an image are drawn on images of several sizes.
    """
    sides = [{(image.to_name, image.item_index): image for image in images} for images in (predicted, accepted)]
    for place in dict.fromkeys((*sides[0], *sides[1])):
        images = (side.get(place, ImageRegions(*place)) for side in sides)
        mine, theirs = ([region for region in image.masks() if region.cropped.area] for image in images)
        yield from _changes_on_image(mine, theirs)


def _changes_on_image(mine: Sequence[Region], theirs: Sequence[Region]) -> Iterator[RegionChange]:
    sizes = {tuple(region.cropped.size) for region in (*mine, *theirs)}
    if len(sizes) > 1:
        came = " and ".join(f"{width} x {height}" for height, width in sorted(sizes))
        raise BrokenSampleError(f"Its regions were drawn on images of {came} pixels; all must be of one size.")
    pairs = _paired(mine, theirs)
    partners = {index: (partner, how) for index, partner, how in pairs}
    for index, region in enumerate(mine):
        partner, how = partners.get(index, (None, ""))
        yield RegionChange(region, None if partner is None else theirs[partner], how)
    taken = {partner for _, partner, _ in pairs}
    yield from (RegionChange(None, region) for index, region in enumerate(theirs) if index not in taken)


def _paired(mine: Sequence[Region], theirs: Sequence[Region]) -> list[tuple[int, int, str]]:
    """Return pairs of indices, and how each pair was matched."""
    places = {region.id: index for index, region in enumerate(theirs) if region.id}
    pairs = [(index, places[region.id], "id") for index, region in enumerate(mine) if region.id in places]
    free = [
        [index for index in range(len(side)) if index not in {pair[which] for pair in pairs}]
        for which, side in enumerate((mine, theirs))
    ]
    if all(free):
        # Imported late, because it is slow and a service must listen before it.
        from scipy.optimize import linear_sum_assignment

        ious = np.array([[mine[one].cropped.iou(theirs[other].cropped) for other in free[1]] for one in free[0]])
        allowed = ious >= LEAST_IOU
        # One more pair is worth more than all the overlap that it may cost.
        worth = np.where(allowed, min(ious.shape) + 1 + ious, 0.0)
        rows, columns = linear_sum_assignment(worth, maximize=True)
        pairs += [
            (free[0][row], free[1][column], "overlap")
            for row, column in zip(rows.tolist(), columns.tolist(), strict=True)
            if allowed[row, column]
        ]
    return pairs
