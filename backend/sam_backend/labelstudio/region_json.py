"""Mask -> regions in Label Studio's JSON, of the shape that the labeling config's control takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import uuid4

import cv2
import numpy as np

from sam_backend.arrays import BoolArray
from sam_backend.labelstudio.bitmask import encode_bitmask
from sam_backend.labelstudio.config import Output, Target
from sam_backend.labelstudio.outlines import (
    TOLERANCE,
    Ring,
    bounding_rectangle,
    fitted_ellipse,
    rings,
    without_specks,
)
from sam_backend.labelstudio.region_masks import region_id as id_of
from sam_backend.labelstudio.region_masks import region_shape
from sam_backend.labelstudio.rle import encode_rle
from sam_backend.samples import Cropped

_GEOMETRY = frozenset(
    {"format", "rle", "imageDataURL", "points", "closed", "vertices"}
    | {"x", "y", "width", "height", "rotation", "radiusX", "radiusY"}
)
"""Keys of a region's value that hold its shape."""


def make_regions(
    mask: BoolArray | Cropped,
    target: Target,
    *,
    label: str | None = None,
    score: float | None = None,
    item_index: int | None = None,
    rotation: int = 0,
    region_id: str | None = None,
    prompted_with: str = "",
    tolerance: float = TOLERANCE,
) -> list[dict[str, Any]]:
    """Return the regions of one mask, ready for the `result` of a prediction; none for an empty mask.

    Brush and bitmask keep every pixel of the mask. For the other shapes, specks (below 1 % of the largest component)
    are removed first. Then each component becomes a polygon or a closed vector, or the whole mask an ellipse or a
    rectangle. A bare shape with a `Labels` tag gives two results with one id, as in Label Studio.

    Parameters
    ----------
    mask : bool (H, W) or Cropped, in pixels of the image after its EXIF rotation.
    target : Target, the image and the controls that take the mask.
    label : str, the mask's label; None means the only label of the control, or no label if it has several.
    score : float, the model's estimate of the mask's quality, in [0, 1].
    item_index : int, which image of a list; None if the task has no list.
    rotation : int, degrees by which the page shows the image turned; the region stays that of the upright image.
    region_id : str, the id of the first region; None for a new one.
    prompted_with : str, the name of the control that the prompt was drawn with, see `Target.output`.
    tolerance : float, of polygons and vectors in pixels, see `rings`; an attribute of the control comes first.

    Raises
    ------
    BadRequestError
        If the target's controls have labels, but not `label`.
    """
    cropped = Cropped.of(mask)
    if not cropped.part.any():
        return []
    output = target.output(label, prompted_with)
    tolerance = target.tolerance(output.control.name, tolerance)
    height, width = cropped.size
    frame: dict[str, Any] = {"original_width": width, "original_height": height, "image_rotation": rotation}
    frame["to_name"] = target.image.name
    frame["origin"] = "prediction"
    if score is not None:
        frame["score"] = score
    if item_index is not None:
        frame["item_index"] = item_index
    regions = []
    for geometry in _geometries(cropped, output.control.shape, tolerance):
        own = region_id or new_id()
        region_id = None
        regions += [{"id": own, **frame, **result} for result in _results(geometry, output, label)]
    return regions


def replace_mask(
    mask: BoolArray | Cropped,
    entries: Sequence[Mapping[str, Any]],
    *,
    label: str | None = None,
    score: float | None = None,
    tolerance: float = TOLERANCE,
) -> list[dict[str, Any]]:
    """Return the entries of a region with another mask: the same id, shape, control and label, and what was said of it.

    Label Studio replaces the whole region, so choices and texts about it must be in the answer. Where a mask needs
    several polygons or vectors, the largest one keeps the id, and the others are new regions.

    Parameters
    ----------
    mask : bool (H, W) or Cropped, in pixels of the image; an empty one gives no entries.
    entries : of one region, at least one with a shape.
    label : str, the label of a region that has none; None leaves it without.
    score : float, in [0, 1], in the place of the region's own.
    tolerance : float, of polygons and vectors in pixels, see `rings`.
    """
    cropped = Cropped.of(mask)
    if not cropped.part.any():
        return []
    shape = next(filter(None, map(region_shape, entries)))
    geometries = sorted(_geometries(cropped, shape, tolerance), key=_ring_area, reverse=True)
    ids = [id_of(entries[0]), *(new_id() for _ in geometries[1:])]
    return [
        _with_geometry(entry, geometry, cropped.size, label, score) | {"id": own}
        for own, geometry in zip(ids, geometries, strict=True)
        for entry in entries
    ]


def note_mapping(regions: Sequence[dict[str, Any]], mapping: str) -> None:
    """Note in the `meta` of regions how the values of their image's file became 8 bits; nothing for ""."""
    for region in regions if mapping else ():
        region["meta"] = {**(region.get("meta") or {}), "image": mapping}


def new_id() -> str:
    """Return an id for a region."""
    return uuid4().hex[:10]


def _with_geometry(
    entry: Mapping[str, Any], geometry: dict[str, Any], size: tuple[int, ...], label: str | None, score: float | None
) -> dict[str, Any]:
    value = dict(entry["value"])
    if region_shape(entry):
        value = {key: content for key, content in value.items() if key not in _GEOMETRY} | geometry
    kind = str(entry.get("type"))
    if label is not None and kind.endswith("labels") and not value.get(kind):
        value[kind] = [label]
    changed = {**entry, "value": value, "origin": "prediction"}
    if region_shape(entry):
        changed |= {"original_width": size[1], "original_height": size[0]}
    return changed | ({"score": score} if score is not None else {})


def _ring_area(geometry: Mapping[str, Any]) -> float:
    """Return the area of a polygon or a vector, in per cent squared; 0 for other shapes."""
    points = geometry.get("points") or [(vertex["x"], vertex["y"]) for vertex in geometry.get("vertices", ())]
    return abs(cv2.contourArea(np.asarray(points, np.float32))) if points else 0.0


def prediction(regions: Sequence[dict[str, Any]], score: float, model_version: str) -> dict[str, Any]:
    """Return one entry of the answer's `results`.

    Label Studio shows an empty list of results as an error, so an image without regions gets a prediction with the
    score 0.
    """
    return {"result": list(regions), "score": float(score) if regions else 0.0, "model_version": model_version}


def _geometries(mask: Cropped, shape: str, tolerance: float) -> list[dict[str, Any]]:
    """Return the values of the mask's regions, without labels."""
    if shape == "brush":
        return [{"format": "rle", "rle": encode_rle(mask)}]
    if shape == "bitmask":
        return [{"imageDataURL": encode_bitmask(mask)}]
    clean = without_specks(mask)
    if shape == "polygon":
        return [{"points": ring, "closed": True} for ring in rings(clean, tolerance)]
    if shape == "vector":
        return [{"vertices": _vertices(ring), "closed": True} for ring in rings(clean, tolerance)]
    if shape == "ellipse":
        fit = fitted_ellipse(clean)
        radii = {"radiusX": fit.radius_x, "radiusY": fit.radius_y}
        return [{"x": fit.x, "y": fit.y, **radii, "rotation": fit.rotation}]
    box = bounding_rectangle(clean)
    return [{"x": box.x, "y": box.y, "width": box.width, "height": box.height, "rotation": 0}]


def _vertices(ring: Ring) -> list[dict[str, Any]]:
    """Return the vertices of a vector; each names the one before."""
    ids = [uuid4().hex[:10] for _ in ring]
    return [
        {"id": own, "x": x, "y": y, "prevPointId": before, "isBezier": False}
        for own, before, (x, y) in zip(ids, [None, *ids], ring, strict=False)
    ]


def _results(geometry: dict[str, Any], output: Output, label: str | None) -> list[dict[str, Any]]:
    """Return the results of one region: its shape, and its label if another control has the labels."""
    control, labeler = output.control, output.labeler
    if label is None and labeler is not None and len(labeler.labels) == 1:
        label = labeler.labels[0]
    # A control with labels needs the list even if no label was chosen; a result of `Labels` exists only for a label.
    chosen = [] if label is None else [label if labeler is None else labeler.named(label)]
    results = []
    if labeler is not control:
        results.append({"from_name": control.name, "type": control.tag, "value": geometry})
    if labeler is not None and (chosen or labeler is control):
        results.append({"from_name": labeler.name, "type": labeler.tag, "value": {**geometry, labeler.tag: chosen}})
    return results
