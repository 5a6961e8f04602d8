"""Rows of an evaluation for tests: what is not named is unimportant and the same in all."""

from __future__ import annotations

from typing import Any

import pandas as pd

from sam_evaluation.row_columns import METRICS


def objects(*rows: dict[str, Any], **same: Any) -> pd.DataFrame:
    """Return a row an object: an image of its own each unless `sample` is given, by protocol box."""
    found = []
    for index, row in enumerate(rows):
        given = {**same, **row}
        iou = given.get("iou", 0.5)
        found.append(
            {
                "model": "a",
                "version": "a-1",
                "dataset": "parts",
                "sample": f"{index:03d}.png",
                "object": 0,
                "annotator": 0,
                "label": "scratch",
                "height": 100,
                "width": 100,
                "area": 50,
                "protocol": "box",
                "click": 0,
                **dict.fromkeys(METRICS, 0.5),
                "iou_oracle": iou,
                "predicted_iou": iou,
                **given,
            }
        )
    return pd.DataFrame(found)


def ious(*values: float, **same: Any) -> pd.DataFrame:
    """Return `objects` with these IoU."""
    return objects(*({"iou": value} for value in values), **same)


def clicked(*curves: list[float], count: int, **same: Any) -> pd.DataFrame:
    """Return rows of `clicks:count`, an image a curve, a row a click."""
    return objects(
        *(
            {"sample": f"{image:03d}.png", "click": click, "iou": iou}
            for image, curve in enumerate(curves)
            for click, iou in enumerate(curve, start=1)
        ),
        protocol=f"clicks:{count}",
        **same,
    )


def images(*rows: dict[str, Any], **same: Any) -> pd.DataFrame:
    """Return a row an image, with nothing in it and nothing found."""
    counts = ("objects", "proposals", "matched_0.1", "matched_0.5", "matched_0.75", "pixels_both", "pixels_either")
    nothing = dict.fromkeys(counts, 0)
    values = dict.fromkeys(
        ("average_recall_10", "average_recall_100", "average_recall_1000", "region_overlap"), float("nan")
    )
    return pd.DataFrame(
        [
            {
                "model": "a",
                "version": "a-1",
                "dataset": "parts",
                "sample": f"{index:03d}.png",
                **nothing,
                **values,
                **same,
                **row,
            }
            for index, row in enumerate(rows)
        ]
    )
