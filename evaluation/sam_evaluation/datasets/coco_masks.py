"""COCO's `segmentation` -> masks: polygons and run-lengths, checked, since pycocotools does not check them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask
from pydantic import BaseModel, NonNegativeInt

from sam_backend.arrays import BoolArray
from sam_backend.validation import checked
from sam_evaluation.datasets.boxes import NO_MASK
from sam_evaluation.datasets.json_files import kind_of
from sam_evaluation.datasets.tally import OddShapeError, Tally
from sam_evaluation.errors import BrokenSampleError

_MOST_SHIFT = 60
"""Run-lengths have at most so many bits; more are damaged text, and would take quadratic time."""


class _Rle(BaseModel, frozen=True):
    """Run-lengths in column order, as compressed text or as alternate counts of zeros and ones; `size` is (H, W)."""

    size: tuple[int, int]
    counts: str | list[NonNegativeInt]


def coco_mask_of(segmentation: Any, size: tuple[int, int], where: str, what: str, tally: Tally) -> BoolArray:
    """Return the mask, bool (H, W), of run-lengths, or the union of polygons.

    Parameters
    ----------
    segmentation : list of rings x, y, x, y, ... in pixels, or run-lengths. A single ring, and rings of pairs, are read.
    size : (H, W) of the image.
    where : str, names the annotation in a count.
    what : str, names the annotation at the beginning of a sentence.
    tally : Tally that counts rings that enclose nothing.

    Raises
    ------
    OddShapeError
        If there is no mask, or it cannot be read.
    """
    if segmentation is None or segmentation in ([], {}):
        raise OddShapeError(NO_MASK, f"{what} has only a box or points; a polygon or run-lengths are needed.")
    if isinstance(segmentation, dict):
        mask: BoolArray = coco_mask.decode(_checked_rle(segmentation, size, what)).astype(np.bool_)
        return mask
    if not isinstance(segmentation, list):
        raise OddShapeError(
            "segmentation of an unknown kind",
            f"{what} is not as its format says: segmentation is {kind_of(segmentation)}; a list of lists x, y, x, y, "
            "... or run-lengths are needed.",
        )
    rings, problem = [], None
    for ring in _rings(segmentation):
        try:
            rings.append(_checked_ring(ring, size, what))
        except OddShapeError as error:
            problem = error
            if len(segmentation) > 1:
                tally.leave_out(error.reason, where)
    if not rings:
        raise problem or OddShapeError("segmentation without a ring", f"{what} has no ring with points.")
    outline: BoolArray = coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects(rings, *size))).astype(np.bool_)
    return outline


def _rings(segmentation: list[Any]) -> Iterator[Any]:
    """Yield the rings. One flat list of numbers is a ring, and so is a list of three pairs or more."""
    is_flat = all(isinstance(value, int | float) for value in segmentation)
    is_pairs = len(segmentation) > 2 and all(isinstance(pair, list) and len(pair) == 2 for pair in segmentation)
    yield from [segmentation] if is_flat or is_pairs else segmentation


def _checked_ring(ring: Any, size: tuple[int, int], what: str) -> list[float]:
    """Return a ring as x, y, x, y, ... for pycocotools."""
    try:
        points: NDArray[np.float64] = np.asarray(ring, np.float64)
    except (ValueError, TypeError, OverflowError):
        points = np.array([np.nan])
    # pycocotools samples an outline every fifth of a pixel: its time and memory grow with the coordinates.
    reach = max(size)
    if points.ndim == 2 and points.shape[1] == 2:
        points = points.ravel()
    is_inside = points.ndim == 1 and bool(((points >= -reach) & (points <= 2 * reach)).all())
    if not is_inside or points.size % 2:
        is_far = points.ndim == 1 and points.size % 2 == 0 and bool(np.isfinite(points).all())
        raise OddShapeError(
            "polygon far outside its image" if is_far else "polygon that is not x, y, x, y, …",
            f"{what} has a polygon that is not x, y, x, y, ... in pixels within the image of {size[1]} x {size[0]}.",
        )
    # Fewer than three points enclose nothing, and pycocotools reads two points as a box.
    if points.size < 6:
        raise OddShapeError(
            "ring of fewer than three points", f"{what} has a ring of {points.size // 2} points; three have an area."
        )
    ring_as_list: list[float] = points.tolist()
    return ring_as_list


def _checked_rle(segmentation: dict[str, Any], size: tuple[int, int], what: str) -> Any:
    try:
        rle = checked(_Rle, segmentation, what)
    except BrokenSampleError as error:
        raise OddShapeError("run-lengths that are not as the format says", str(error)) from None
    if rle.size != size:
        height, width = rle.size
        raise OddShapeError(
            "run-lengths of an image of another size",
            f"{what} is of {width} x {height} pixels, its image {size[1]} x {size[0]}; both must have the same size.",
        )
    counts = rle.counts
    if isinstance(counts, str) and counts[:2] in ("b'", 'b"'):
        raise OddShapeError(
            "run-lengths written as Python's text of bytes",
            f"{what} has run-lengths written as Python's text of bytes, {counts[:8]}...; write counts.decode() instead "
            "of str(counts).",
        )
    runs = _runs(counts) if isinstance(counts, str) else counts
    pixels = size[0] * size[1]
    # Where run-lengths are missing, pycocotools returns uninitialised memory.
    if min(runs, default=-1) < 0 or sum(runs) != pixels:
        came = f"; they make {sum(runs):,}" if runs and min(runs) >= 0 else ""
        raise OddShapeError(
            "run-lengths that do not add up to the pixels of the image",
            f"{what} has run-lengths that do not add up to its image's {pixels} pixels{came}; export it again.",
        )
    return coco_mask.frPyObjects({"size": list(size), "counts": runs}, *size)


def _runs(text: str) -> list[int]:
    """Return the run-lengths in COCO's compressed text; a negative one means that the text is damaged.

    A character code minus 48 holds five bits of a number, lowest bits first. Bit 32 is set if the number continues in
    the next character; bit 16 of the last character is the sign. From the fourth run on, a number is the difference
    from the run two places before. The format is that of `rleFrString` in pycocotools.
    """
    runs: list[int] = []
    value = shift = 0
    for character in text:
        code = ord(character) - 48
        if not 0 <= code < 64 or shift > _MOST_SHIFT:
            return [-1]
        value |= (code & 31) << shift
        shift += 5
        if not code & 32:
            value -= (code >> 4 & 1) << shift
            runs.append(value + (runs[-2] if len(runs) > 2 else 0))
            value = shift = 0
    return runs if not shift else [*runs, -1]
