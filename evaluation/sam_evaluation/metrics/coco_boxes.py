"""Boxes found in images, scored by COCO's own code."""

from __future__ import annotations

import io
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from sam_evaluation.metrics.detection import Floats

LIMITS = (1, 10, 100)
"""Numbers of boxes per image that count: for average recall each of them, for average precision the last."""

_STATS = {"ap": 0, "ap50": 1, "ap75": 2, "ap_small": 3, "ap_medium": 4, "ap_large": 5, "ar1": 6, "ar10": 7, "ar100": 8}


@dataclass(frozen=True, eq=False)
class Boxes:
    """Boxes of objects, or found boxes, in several images.

    Attributes
    ----------
    images : int (N,), the image of each box, from 0.
    classes : int (N,), its class, from 0; all 0 where classes do not count.
    boxes : float (N, 4), xyxy in pixels, half-open.
    areas : float (N,), pixels of the object's mask; those of found boxes are not used, since COCO takes the boxes' own.
    scores : float (N,), the confidence of found boxes; those of objects are not used.
    """

    images: NDArray[np.int64]
    classes: NDArray[np.int64]
    boxes: Floats
    areas: Floats
    scores: Floats


@dataclass(frozen=True, eq=False)
class BoxScores:
    """COCO's scores of found boxes.

    Attributes
    ----------
    values : name -> value in [0, 1]: `ap` (over IoU 0.5, 0.55, … 0.95), `ap50`, `ap75`, `ap_small`, `ap_medium` and
        `ap_large` (by the area of the object, with bounds at 32² and 96²), `ar1`, `ar10` and `ar100`; NaN where no
        object counts.
    found : float (I, 3), for each image and each of `LIMITS` the objects that were found, the mean over the IoU.
    objects : int (I,), the objects of each image. Without classes, the total of `found` over that of `objects` is the
        average recall.
    """

    values: dict[str, float]
    found: Floats
    objects: NDArray[np.int64]


def box_scores(objects: Boxes, found: Boxes, images: int, classes: int = 1) -> BoxScores:
    """Return the scores of boxes found in `images` images, as `pycocotools.cocoeval.COCOeval` computes them.

    Parameters
    ----------
    objects, found : Boxes.
    images, classes : int, their numbers; a class without an object does not count.

    References
    ----------
    Lin et al., Microsoft COCO: Common Objects in Context, ECCV 2014.
    """
    with redirect_stdout(io.StringIO()):
        truth = _coco(objects, objects.areas, images, classes)
        evaluation = COCOeval(truth, _coco(found, _extents(found), images, classes), "bbox")
        evaluation.params.maxDets = list(LIMITS)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    values = {name: float(evaluation.stats[place]) for name, place in _STATS.items()}
    # COCO writes -1 for what has no value.
    return BoxScores(
        {name: value if value >= 0 else float("nan") for name, value in values.items()},
        *_recalled(evaluation.evalImgs, images, len(evaluation.params.areaRng)),
    )


def _extents(boxes: Boxes) -> Floats:
    return np.asarray((boxes.boxes[:, 2:] - boxes.boxes[:, :2]).prod(1), np.float64)


def _coco(boxes: Boxes, areas: Floats, images: int, classes: int) -> COCO:
    low = boxes.boxes[:, :2]
    sizes = boxes.boxes[:, 2:] - low
    columns = (boxes.images, boxes.classes, low, sizes, areas, boxes.scores)
    rows = zip(*(column.tolist() for column in columns), strict=True)
    coco = COCO()
    coco.dataset = {
        "images": [{"id": image} for image in range(images)],
        "categories": [{"id": number} for number in range(classes)],
        "annotations": [
            {
                "id": number,
                "image_id": image,
                "category_id": kind,
                "bbox": [*corner, *size],
                "area": area,
                "iscrowd": 0,
                "score": score,
            }
            for number, (image, kind, corner, size, area, score) in enumerate(rows, 1)
        ],
    }
    coco.createIndex()
    return coco


def _recalled(per_image: Sequence[dict[str, Any] | None], images: int, ranges: int) -> tuple[Floats, NDArray[np.int64]]:
    """Return `BoxScores.found` and `.objects` from what COCOeval kept of each class, range of areas and image."""
    found, objects = np.zeros((images, len(LIMITS))), np.zeros(images, np.int64)
    for place, one in enumerate(per_image):
        # The first range holds all areas; nothing is kept where an image has neither objects nor boxes.
        if one is None or place // images % ranges:
            continue
        objects[one["image_id"]] += len(one["gtIds"])
        for column, limit in enumerate(LIMITS):
            found[one["image_id"], column] += np.count_nonzero(one["dtMatches"][:, :limit], axis=1).mean()
    return found, objects
