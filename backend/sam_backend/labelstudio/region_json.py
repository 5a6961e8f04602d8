"""From a mask to the regions that the labeling config's control accepts, as Label Studio serialises them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import uuid4

from sam_backend.arrays import BoolArray
from sam_backend.labelstudio.bitmask import encode_bitmask
from sam_backend.labelstudio.config import Output, Target
from sam_backend.labelstudio.outlines import bounding_rectangle, fitted_ellipse, rings, without_specks
from sam_backend.labelstudio.rle import encode_rle


def make_regions(
    mask: BoolArray,
    target: Target,
    *,
    label: str | None = None,
    score: float | None = None,
    item_index: int | None = None,
) -> list[dict[str, Any]]:
    """Return the regions for one mask, ready for `result` of a prediction; none for an empty mask.

    Brush and bitmask hold the mask to the pixel. The others first lose specks (below 1 % of the largest component):
    a polygon is then one region a component, an ellipse or a rectangle one for all of it. A bare shape named by a
    `Labels` tag gives two results with one id, as Label Studio does.

    Parameters
    ----------
    mask : (H, W) bool, in pixels of the EXIF-turned image.
    target : the image and the controls that take the mask.
    label : the mask's label; None stands for the only label of the control, where it has just one, and else for none.
    score : the model's own estimate of the mask's quality, 0-1.
    item_index : which image of a list the mask is of.

    Raises
    ------
    BadRequestError
        If the target's controls have labels, and `label` is none of them.
    """
    if not mask.any():
        return []
    output = target.output(label)
    height, width = mask.shape
    frame = {"original_width": width, "original_height": height, "image_rotation": 0, "to_name": target.image.name}
    frame["origin"] = "prediction"
    if score is not None:
        frame["score"] = score
    if item_index is not None:
        frame["item_index"] = item_index
    regions = []
    for geometry in _geometries(mask, output.control.shape):
        region_id = uuid4().hex[:10]
        regions += [{"id": region_id, **frame, **result} for result in _results(geometry, output, label)]
    return regions


def prediction(regions: Sequence[dict[str, Any]], score: float, model_version: str) -> dict[str, Any]:
    """Return one entry of the answer's `results`; without regions it says that there is nothing to say.

    Label Studio shows an empty list of results as an error, so nothing to say is a prediction too, of score 0.
    """
    return {"result": list(regions), "score": float(score) if regions else 0.0, "model_version": model_version}


def _geometries(mask: BoolArray, shape: str) -> list[dict[str, Any]]:
    """Return the value of each region of the mask, without a label."""
    if shape == "brush":
        return [{"format": "rle", "rle": encode_rle(mask)}]
    if shape == "bitmask":
        return [{"imageDataURL": encode_bitmask(mask)}]
    clean = without_specks(mask)
    if shape == "polygon":
        return [{"points": ring, "closed": True} for ring in rings(clean)]
    if shape == "ellipse":
        fit = fitted_ellipse(clean)
        radii = {"radiusX": fit.radius_x, "radiusY": fit.radius_y}
        return [{"x": fit.x, "y": fit.y, **radii, "rotation": fit.rotation}]
    box = bounding_rectangle(clean)
    return [{"x": box.x, "y": box.y, "width": box.width, "height": box.height, "rotation": 0}]


def _results(geometry: dict[str, Any], output: Output, label: str | None) -> list[dict[str, Any]]:
    """Return the results of one region: its shape, and its label where that is another control's."""
    control, labeler = output.control, output.labeler
    if label is None and labeler is not None and len(labeler.labels) == 1:
        label = labeler.labels[0]
    # A control with labels wants its list of them even where none was chosen; a result of `Labels` only says a label.
    chosen = [] if label is None else [label]
    results = []
    if labeler is not control:
        results.append({"from_name": control.name, "type": control.tag, "value": geometry})
    if labeler is not None and (chosen or labeler is control):
        results.append({"from_name": labeler.name, "type": labeler.tag, "value": {**geometry, labeler.tag: chosen}})
    return results
