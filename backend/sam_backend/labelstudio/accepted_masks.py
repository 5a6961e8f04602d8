"""What was accepted in an annotation: which of its regions are masks, and the masks themselves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sam_backend.labelstudio.config import SHAPES, Target
from sam_backend.labelstudio.region_masks import Region, regions_of

_MASKS = ("brush", "bitmask", "polygon")
_SHAPE_OF_KEY = {
    "rle": "brush", "imageDataURL": "bitmask", "points": "polygon", "radiusX": "ellipse", "height": "rectangle"
}  # fmt: skip


def mask_regions(result: Sequence[Mapping[str, Any]], target: Target) -> list[dict[str, Any]]:
    """Return the entries of an annotation's `result` that outline something on the target's image, or label it.

    Brushes, bitmasks and polygons do; ellipses and rectangles only where the labeling config has nothing more exact,
    for else they are prompts. Of a task with a list of images those on the first count.
    """
    exact = set(_MASKS) | {target.outputs[0].control.shape}
    return [
        dict(entry)
        for entry in result
        if entry.get("to_name") == target.image.name
        and not entry.get("item_index")
        and _shape(entry) in exact & set(SHAPES)
    ]


def has_prompts_only(result: Sequence[Mapping[str, Any]], target: Target) -> bool:
    """Whether an annotation's `result` has boxes or points on the target's image but no mask.

    Something is there, then, though nobody said where exactly: the image is neither an example nor background.
    """
    places = [entry["value"] for entry in result if isinstance(entry.get("value"), Mapping)]
    return any("x" in value for value in places) and not mask_regions(result, target)


def read_masks(entries: Sequence[Mapping[str, Any]]) -> Iterator[Region]:
    """Yield the masks of what `mask_regions` returned, empty ones too.

    Raises
    ------
    BrokenSampleError
        If one is damaged or was drawn on an image that was turned.
    """
    yield from regions_of(entries)


def _shape(entry: Mapping[str, Any]) -> str | None:
    value = entry.get("value")
    if not isinstance(value, Mapping):
        return None
    return next((shape for key, shape in _SHAPE_OF_KEY.items() if key in value), None)
