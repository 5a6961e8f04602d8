"""Rows of boxes -> COCO's average precision and recall of every model, data set and protocol."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from sam_evaluation import statistics
from sam_evaluation.measurement import MeasuredObject, Proposed, ResultRow
from sam_evaluation.metrics.coco_boxes import Boxes, box_scores
from sam_evaluation.row_columns import RUN

_COLUMNS = (*RUN, "dataset", "protocol", "by", "group", "metric", "value", "low", "high", "objects", "images")


def box_rows(protocol: str, proposed: Proposed, targets: Sequence[MeasuredObject]) -> Iterator[ResultRow]:
    """Yield one row for the box of each object and of each proposal of an image, as `boxes.parquet` keeps it."""
    for target in targets:
        cropped = target.object.cropped
        yield _row(protocol, True, target.object.label, cropped.box, cropped.area, float("nan"))
    labels = proposed.labels or [None] * len(proposed.masks)
    for mask, label, score in zip(proposed.masks, labels, proposed.scores.tolist(), strict=True):
        if mask.part.size:
            yield _row(protocol, False, label, mask.box, mask.area, score)


def _row(protocol: str, is_object: bool, label: str | None, box: Sequence[int], area: int, score: float) -> ResultRow:
    left, top, right, bottom = box
    sides = {"left": left, "top": top, "right": right, "bottom": bottom}
    return {"protocol": protocol, "is_object": is_object, "label": label, **sides, "area": area, "score": score}


def box_table(boxes: pd.DataFrame, images: pd.DataFrame, *, seed: int = 0) -> pd.DataFrame:
    """Return COCO's scores of the boxes around what was found without a prompt for each object.

    Classes count where all proposals have one; otherwise every object is one of the same class. Average recall without
    classes has an interval; average precision has none, since each draw of the bootstrap would be an evaluation of its
    own.

    Parameters
    ----------
    boxes : DataFrame, the rows of `box_rows`; empty gives an empty table.
    images : DataFrame, the rows of the images.
    seed : int, the seed of the intervals.

    Returns
    -------
    DataFrame
        Columns model, version, dataset, protocol, by ("all"), group ("all"), metric (`box_ap`, `box_ap50`, `box_ap75`,
        `box_ap_small`, `box_ap_medium`, `box_ap_large`, `box_ar1`, `box_ar10`, `box_ar100`), value, low, high, objects,
        images.
    """
    table: list[tuple[Any, ...]] = []
    keys = [*RUN, "dataset", "protocol"]
    of_images = dict(tuple(images.groupby(keys))) if len(boxes) else {}
    for cell, rows in boxes.groupby(keys) if len(boxes) else ():
        samples = of_images[cell]["sample"].tolist()
        place = {sample: number for number, sample in enumerate(samples)}
        is_object = rows["is_object"].to_numpy(bool)
        labelled = bool(rows.loc[~is_object, "label"].notna().all()) and not is_object.all()
        names = rows["label"].fillna("").to_numpy(str) if labelled else np.zeros(len(rows), str)
        classes, kinds = np.unique(names, return_inverse=True)
        objects, found = (
            Boxes(
                rows["sample"].map(place).to_numpy(np.int64)[chosen],
                kinds[chosen],
                rows[["left", "top", "right", "bottom"]].to_numpy(np.float64)[chosen],
                rows["area"].to_numpy(np.float64)[chosen],
                rows["score"].to_numpy(np.float64)[chosen],
            )
            for chosen in (is_object, ~is_object)
        )
        scores = box_scores(objects, found, len(samples), len(classes))
        counts = np.repeat(scores.objects[:, None], scores.found.shape[1], 1).astype(np.float64)
        recalls = statistics.ratios(scores.found, counts, seed) if len(classes) == 1 else []
        intervals = dict(zip(("ar1", "ar10", "ar100"), recalls, strict=False))
        for name, value in scores.values.items():
            low, high = (intervals[name].low, intervals[name].high) if name in intervals else (np.nan, np.nan)
            table.append((*cell, "all", "all", f"box_{name}", value, low, high, len(objects.images), len(samples)))
    return pd.DataFrame(table, columns=list(_COLUMNS))
